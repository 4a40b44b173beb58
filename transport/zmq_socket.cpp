// SPDX-License-Identifier: Apache-2.0
#include <zmq.hpp>

#include "zmq_socket.ipp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>

namespace joinery::detail {

wake_pipe::wake_pipe() {
    if (::pipe(ends_.data()) != 0) fail();
    for (int fd : ends_) {
        if (::fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) fail();
    }
}

void wake_pipe::raise() {
    if (raised_.exchange(true, std::memory_order_acq_rel)) return; // a byte is, or will be, in the pipe
    const char byte = 0;
    while (::write(ends_[1], &byte, 1) < 0 && errno == EINTR) {
    }
}

void wake_pipe::drain() {
    char bytes[16];
    while (::read(ends_[0], bytes, sizeof bytes) > 0) {
    }
}

void wake_pipe::close_both() {
    for (int fd : ends_) {
        if (fd >= 0) ::close(fd);
    }
}

void wake_pipe::fail() {
    const int error = errno;
    close_both();
    throw std::runtime_error("zmq_transport: pipe: " + std::generic_category().message(error));
}

monitored_socket::monitored_socket(zmq::context_t& context, zmq::socket_type type, std::uint64_t number, int events)
    : monitor(context, zmq::socket_type::pair), data(context, type) {
    const std::string name = "inproc://monitor-" + std::to_string(number);
    if (zmq_socket_monitor(data.socket.handle(), name.c_str(), events) != 0) throw zmq::error_t();
    monitor.socket.set(zmq::sockopt::linger, 0);
    monitor.socket.set(zmq::sockopt::rcvhwm, 0);
    monitor.socket.connect(name);
}

std::optional<monitored_socket::event> monitored_socket::reported() {
    zmq::message_t m;
    if (!try_receive(monitor, m)) return std::nullopt;
    event e;
    if (m.size() == sizeof e.kind + sizeof e.value) {
        std::memcpy(&e.kind, m.data(), sizeof e.kind);
        std::memcpy(&e.value, m.data<std::byte>() + sizeof e.kind, sizeof e.value);
    }
    while (m.more() && try_receive(monitor, m)) { // the endpoint
    }
    return e;
}

owned_descriptor::~owned_descriptor() {
    if (fd_ >= 0) ::close(fd_);
}

owned_descriptor owned_descriptor::duplicate(int fd) {
    owned_descriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (copy.get() < 0)
        throw std::runtime_error("zmq_transport: duplicate a descriptor: " + std::generic_category().message(errno));
    return copy;
}

sent try_send(zmq::socket_t& socket, zmq::message_t& message, int flags) {
    for (bool refreshed = false;;) {
        if (zmq_msg_send(message.handle(), socket.handle(), flags | ZMQ_DONTWAIT) >= 0) return sent::yes;
        if (zmq_errno() == EINTR) continue;
        if (zmq_errno() != EAGAIN) return sent::gone;
        if (refreshed) return sent::full;
        // Sending looks only once in a while at what peers have taken from their queues; this always does.
        static_cast<void>(socket.get(zmq::sockopt::events));
        refreshed = true;
    }
}

bool try_receive(watched_socket& s, zmq::message_t& message) {
    if (!s.ready) return false;
    while (zmq_msg_recv(message.handle(), s.socket.handle(), ZMQ_DONTWAIT) < 0) {
        if (zmq_errno() != EINTR) return s.ready = false;
    }
    return true;
}

} // namespace joinery::detail
