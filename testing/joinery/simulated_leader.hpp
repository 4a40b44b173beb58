// SPDX-License-Identifier: Apache-2.0
#pragma once

// What an application holds of a replicated collection in a simulation (simulation.hpp): the members of
// leader<T> (leader.hpp) that applications use, over the same engine, in simulated time. Code that is written
// against a `Leader&` runs on both.

#include <joinery/leader.hpp>
#include <joinery/replicated.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace joinery::testing {

namespace detail {

/// The process that a leader is part of, whatever the type.
class simulated_host {
public:
    /// Throws what refuses a write.
    virtual void admit() = 0;
    virtual write_result settle(const dot_range& dots, const write_options& o) = 0;
    virtual joinery::detail::consulted consult(const read_options& o) = 0;
    virtual bool wait(const std::function<bool()>& here, std::chrono::milliseconds timeout) = 0;
    virtual void ask() = 0;
    virtual void subscribe(std::shared_ptr<joinery::detail::subscriber> s) = 0;
    virtual std::vector<request_result> request(const std::string& service, const std::vector<outgoing_request>& to,
                                                std::chrono::milliseconds timeout) = 0;
    virtual void serve(std::shared_ptr<joinery::detail::service> s) = 0;
    virtual std::chrono::milliseconds now() const = 0;
    virtual node_status status() const = 0;
    virtual replica_id id() const = 0;
    virtual const std::string& name() const = 0; ///< of the process
    virtual wall_clock wall() = 0;
    /// Ends the call if the process has died in an earlier one.
    virtual void still_alive() const = 0;

    bool in_callable = false; ///< an f of write, read or wait_until runs

protected:
    ~simulated_host() = default;
};

/// Unwinds what a process was doing when it died. No std::exception: no program handles its own death.
struct process_ended {};

} // namespace detail

/// A handle, which lives as long as its process. What time it takes is simulated: while a `write` waits for
/// acknowledgements, or a `wait_until` for its predicate, the others go on and faults happen. A process that dies in a
/// call never returns from it. Throws as leader<T> does; a callable that calls back into its leader, which on a real
/// one would wait for itself for ever, gets a std::logic_error.
template <class T> class simulated_leader {
public:
    using value_type = T;

    simulated_leader(detail::simulated_host& host, replicated<T>& state) : host_(&host), state_(&state) {}

    /// As leader<T>::write.
    template <class F> write_result write(F&& f, const write_options& options = {}) {
        const assurance wanted = options.wanted();
        host_->admit();
        std::optional<dot_range> dots;
        {
            const inside now(*this);
            dots = state_->edit(std::forward<F>(f), wanted);
        }
        return dots ? host_->settle(*dots, options) : write_result{};
    }

    /// What f(const T&), or f(const causal<T>&), returns, by value.
    template <class F> auto read(F&& f) const {
        host_->still_alive();
        const inside now(*this);
        return value_of(f);
    }
    /// As leader<T>::read.
    template <class F> auto read(F&& f, const read_options& options) const {
        auto peers = host_->consult(options);
        const inside now(*this);
        return read_result<decltype(value_of(f))>{value_of(f), state_->version(), peers.answered, peers.complete,
                                                  std::move(peers.missing)};
    }

    version_vector version() const {
        host_->still_alive();
        const inside now(*this);
        return state_->version();
    }

    /// f must not throw, and cannot wait.
    [[nodiscard]] subscription subscribe(std::function<void(const change&)> f, bool details = false) {
        auto s = std::make_shared<joinery::detail::subscriber>();
        s->details = details;
        s->call = std::move(f);
        if (details) {
            std::lock_guard lock(state_->mutex());
            state_->note_changes();
        }
        host_->subscribe(s);
        return subscription(std::move(s));
    }

    /// As leader<T>::wait_until.
    template <class P> bool wait_until(P&& predicate, std::chrono::milliseconds timeout) const {
        return host_->wait(
            [&] {
                const inside now(*this);
                return static_cast<bool>(std::invoke(predicate, **state_));
            },
            timeout);
    }

    /// As leader<T>::sync_to.
    bool sync_to(const version_vector& token, std::chrono::milliseconds timeout) const {
        const auto here = [&] { return token.within(version()); };
        if (host_->wait(here, std::chrono::milliseconds(0))) return true;
        host_->ask();
        return host_->wait(here, timeout);
    }

    /// As leader<T>::request.
    std::vector<request_result> request(const std::string& service, const std::vector<outgoing_request>& to,
                                        std::chrono::milliseconds timeout) {
        return host_->request(service, to, timeout);
    }
    /// f must not throw, and cannot wait.
    [[nodiscard]] subscription serve(std::string service,
                                     std::function<std::vector<std::byte>(replica_id, std::span<const std::byte>)> f,
                                     access_right least = access_right::write) {
        auto s = std::make_shared<joinery::detail::service>();
        s->name = std::move(service);
        s->least = least;
        s->call = std::move(f);
        host_->serve(s);
        return subscription(std::move(s));
    }

    std::chrono::milliseconds now() const { return host_->now(); }
    /// Of the collection.
    static std::string name() { return "main"; }
    /// "A", "B", "C", ...
    std::string address() const { return host_->name(); }
    replica_id id() const { return host_->id(); }
    node_status status() const { return host_->status(); }

private:
    template <class F> auto value_of(F& f) const {
        if constexpr (std::is_invocable_v<F&, const T&>)
            return std::invoke(f, **state_);
        else
            return std::invoke(f, state_->get().state());
    }

    class inside {
    public:
        explicit inside(const simulated_leader& l) : host_(*l.host_) {
            if (host_.in_callable) throw std::logic_error("a callable calls back into its leader");
            host_.in_callable = true;
            lock_ = std::unique_lock(l.state_->mutex());
        }
        ~inside() { host_.in_callable = false; }
        inside(const inside&) = delete;
        inside& operator=(const inside&) = delete;

    private:
        detail::simulated_host& host_;
        std::unique_lock<std::mutex> lock_;
    };

    detail::simulated_host* host_;
    replicated<T>* state_;
};

} // namespace joinery::testing
