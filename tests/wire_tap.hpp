// SPDX-License-Identifier: Apache-2.0
#pragma once

// Somebody between two TCP peers, who keeps what goes by, and may change it.

#include "zmq_peers.hpp"

#include <poll.h>

#include <cerrno>
#include <functional>
#include <list>
#include <string>
#include <utility>

namespace zmq_tests {

class wire_tap {
public:
    /// Of one connection: who dialled, and who was dialled.
    struct connection {
        raw_tcp dialler, dialled;
        std::string from_dialler, from_dialled; ///< so far, as they said it
        std::string to_dialler, to_dialled;     ///< what is under way
    };
    std::list<connection> connections; ///< those that have ended, too
    /// Changes bytes that are about to go on, to the one who was dialled or from it.
    std::function<void(std::string& bytes, bool to_dialled, const connection& c)> change;

    explicit wire_tap(std::uint16_t to) : to_(to), address_(listener_.listen()) {}
    const std::string& address() const { return address_; }

    /// What can go on without waiting goes on.
    void pump() {
        for (pollfd p{listener_.fd, POLLIN, 0}; ::poll(&p, 1, 0) > 0;) {
            auto& c = connections.emplace_back();
            ::close(std::exchange(c.dialler.fd, ::accept(listener_.fd, nullptr, nullptr)));
            c.dialled.connect(to_);
        }
        for (auto& c : connections) {
            take(c, c.dialler, c.from_dialler, c.to_dialled, true);
            take(c, c.dialled, c.from_dialled, c.to_dialler, false);
            pass_on(c.dialler, c.dialled, c.to_dialled);
            pass_on(c.dialled, c.dialler, c.to_dialler);
        }
    }
    /// True if anybody has said this.
    bool heard(const std::string& text) const {
        for (const auto& c : connections)
            for (const auto* said : {&c.from_dialler, &c.from_dialled})
                if (said->find(text) != std::string::npos) return true;
        return false;
    }

private:
    raw_tcp listener_;
    std::uint16_t to_;
    std::string address_;

    void take(connection& c, const raw_tcp& from, std::string& said, std::string& on_its_way, bool to_dialled) {
        char some[65536];
        if (on_its_way.size() > sizeof some) return;
        const auto n = ::recv(from.fd, some, sizeof some, MSG_DONTWAIT);
        if (n <= 0) return;
        std::string bytes(some, static_cast<std::size_t>(n));
        said += bytes;
        if (change) change(bytes, to_dialled, c);
        on_its_way += bytes;
    }
    static void pass_on(const raw_tcp& from, const raw_tcp& to, std::string& on_its_way) {
        const auto n = ::send(to.fd, on_its_way.data(), on_its_way.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) on_its_way.erase(0, static_cast<std::size_t>(n));
        char next = 0;
        const bool ended = ::recv(from.fd, &next, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
        if (ended && on_its_way.empty()) ::shutdown(to.fd, SHUT_WR);
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) { // it is gone
            on_its_way.clear();
            ::shutdown(from.fd, SHUT_RDWR);
        }
    }
};

} // namespace zmq_tests
