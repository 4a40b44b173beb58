// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the ZeroMQ transport makes of libzmq's sockets: reading without needless looks, sending without
// waiting, sockets whose connections are watched, and a way to end a wait from another thread. To be included
// after <zmq.hpp>, which stands in sources only.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace joinery::detail {

/// Ends a wait from another thread: a pipe, since a socket belongs to one thread at a time.
class wake_pipe {
public:
    /// Throws std::runtime_error without descriptors.
    wake_pipe();
    wake_pipe(const wake_pipe&) = delete;
    wake_pipe& operator=(const wake_pipe&) = delete;
    ~wake_pipe() { close_both(); }

    int fd() const { return ends_[0]; }

    void raise();
    /// True if it was raised since the last call. The byte stays, or comes a little later: a wait that ends
    /// early for it calls `drain`.
    bool take() {
        return raised_.load(std::memory_order_relaxed) && raised_.exchange(false, std::memory_order_acq_rel);
    }
    /// Empties the pipe. Call `take` before the next wait: the byte may belong to a flag that is still up,
    /// and while it is up no further byte is written.
    void drain();

private:
    std::array<int, 2> ends_{-1, -1};
    std::atomic<bool> raised_{false};

    void close_both();
    [[noreturn]] void fail();
};

/// A socket that is read, without a look at it while nothing can have come: a look at an empty one is several
/// system calls in ZeroMQ. Once a read has found nothing, the descriptor tells that something came. Any other
/// use of the socket may take that sign away, so whatever sends makes it `ready`, too.
struct watched_socket {
    zmq::socket_t socket;
    int fd = -1;
    bool ready = true; // it may have something

    watched_socket() = default;
    watched_socket(zmq::context_t& context, zmq::socket_type type)
        : socket(context, type), fd(socket.get(zmq::sockopt::fd)) {}
    explicit operator bool() const { return socket.handle() != nullptr; }
};

/// A socket, and the pair socket on which libzmq reports what becomes of its connections. Reports queue without a
/// limit: libzmq's thread would wait for us to read them. One that dials makes one attempt: ZeroMQ does not reconnect
/// (an own state machine does), which would let libzmq 4.3.4 abort if the queue was full when the connection ended
/// ("Assertion failed: _input_stopped").
struct monitored_socket {
    struct event {
        std::uint16_t kind = 0;
        std::uint32_t value = 0;
    };
    static constexpr int handshake_failed =
        ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    static constexpr int of_dialler =
        handshake_failed | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED;
    static constexpr int of_listener = handshake_failed | ZMQ_EVENT_LISTENING;

    watched_socket monitor, data;

    /// `number` is of this socket alone in the whole context; `events` are reported.
    monitored_socket(zmq::context_t& context, zmq::socket_type type, std::uint64_t number, int events);
    monitored_socket(const monitored_socket&) = delete;
    monitored_socket& operator=(const monitored_socket&) = delete;
    /// A report to a pair socket that has gone would block libzmq's thread, so reports end first.
    ~monitored_socket() { zmq_socket_monitor(data.socket.handle(), nullptr, 0); }

    /// The next report; never waits.
    std::optional<event> reported();
};

/// A descriptor of our own.
class owned_descriptor {
public:
    owned_descriptor() = default;
    explicit owned_descriptor(int fd) : fd_(fd) {}
    owned_descriptor(owned_descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    owned_descriptor& operator=(owned_descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~owned_descriptor();

    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }
    /// Another one for the same. Throws std::runtime_error without descriptors.
    static owned_descriptor duplicate(int fd);

private:
    int fd_ = -1;
};

enum class sent : std::uint8_t { yes, full, gone };

/// Never waits. Takes the message if the answer is `yes`.
sent try_send(zmq::socket_t& socket, zmq::message_t& message, int flags = 0);

inline sent try_send(watched_socket& s, zmq::message_t& message, int flags = 0) {
    s.ready = true;
    return try_send(s.socket, message, flags);
}

/// Never waits; false if nothing has come.
bool try_receive(watched_socket& s, zmq::message_t& message);

inline std::span<const std::byte> bytes_of(const zmq::message_t& m) {
    return {static_cast<const std::byte*>(m.data()), m.size()};
}

} // namespace joinery::detail
