// SPDX-License-Identifier: Apache-2.0
#include <zmq.hpp>

#include "zmq_node.ipp"

#include <climits>
#include <string>
#include <utility>

namespace joinery {

namespace {

using detail::bad_option;
using std::chrono::milliseconds;

constexpr milliseconds longest_handshake{30'000}; // a stranger's connection that stops half-way stays so long

zmq_options checked(zmq_options o) {
    if (o.max_frame == 0 || o.max_frame > std::size_t{1} << 30) throw bad_option("max_frame: not in 1 byte to 1 GiB");
    if (o.send_high_water == 0 || o.send_high_water > INT_MAX) throw bad_option("send_high_water: out of range");
    if (o.receive_high_water == 0 || o.receive_high_water > INT_MAX) {
        throw bad_option("receive_high_water: out of range");
    }
    auto check = [&](milliseconds value, milliseconds least, const char* name) {
        if (value < least || value > detail::longest_wait) {
            throw bad_option(std::string(name) + ": not in " + std::to_string(least.count()) + " ms to 24 h");
        }
    };
    check(o.heartbeat, milliseconds(10), "heartbeat");
    check(o.reconnect_min, milliseconds(1), "reconnect_min");
    check(o.reconnect_max, o.reconnect_min, "reconnect_max");
    check(o.handshake, milliseconds(10), "handshake");
    if (o.keys && o.handshake > longest_handshake) throw bad_option("handshake: with keys, at most 30 s");
    if (!o.keys && !o.admitted.empty()) throw bad_option("admitted: needs zmq_options::keys");
    check(o.linger, milliseconds(0), "linger");
    return o;
}

} // namespace

std::unique_ptr<transport> zmq_transport(zmq_options options) {
    return std::make_unique<detail::zmq_node>(checked(std::move(options)));
}

} // namespace joinery
