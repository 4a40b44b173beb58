// SPDX-License-Identifier: Apache-2.0
// What a peer may send to a ZeroMQ transport besides the engine's frames: the decoder takes any bytes, what
// it accepts is what the encoder writes, and no place that it names lies elsewhere than the dialled peer.

#include "zmq_control.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

using joinery::detail::decode_broadcast;
using joinery::detail::decode_control;
using joinery::detail::encode_broadcast;
using joinery::detail::encode_control;
using joinery::detail::welcome;
using joinery::detail::zmq_address;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

/// `tail` may contain neither a host, nor a path, nor anything else that ZeroMQ gives a meaning.
void require_plain(std::string_view tail) {
    for (char c : tail) require(c > ' ' && c < 127 && c != '/' && c != ':' && c != ';' && c != '@' && c != '*');
}

void check_place(const welcome& w) {
    using use = zmq_address::use;
    const std::string tcp = zmq_address::parse("tcp://127.0.0.1:7001", use::dial, "").publish_endpoint(w.place);
    const std::string ipc = zmq_address::parse("ipc:///run/a", use::dial, "").publish_endpoint(w.place);
    require(tcp.empty() != ipc.empty());
    const std::string_view tcp_base = "tcp://127.0.0.1:", ipc_base = "ipc:///run/a";
    if (ipc.empty()) {
        require(tcp.starts_with(tcp_base));
        require_plain(std::string_view(tcp).substr(tcp_base.size()));
        require(zmq_address::parse(tcp, use::dial, "").str() == tcp);
    } else {
        require(ipc.starts_with(ipc_base));
        require_plain(std::string_view(ipc).substr(ipc_base.size()));
    }
}

void check_address(const std::string& text, zmq_address::use use) {
    try {
        const auto a = zmq_address::parse(text, use, "");
        const auto again = zmq_address::parse(a.str(), use, "");
        require(again.str() == a.str() && again.local() == a.local());
        if (a.key) {
            const auto keyed = zmq_address::parse(a.str() + "#" + to_string(*a.key), zmq_address::use::dial, "");
            require(keyed.key == a.key && keyed.str() == a.str());
        }
        require(a.ipc || text.find(';') == std::string::npos);
    } catch (const std::invalid_argument&) {
    } // how a bad address of the owner's is refused
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    if (const auto c = decode_control(bytes)) {
        const auto again = encode_control(*c);
        require(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
        if (const auto* w = std::get_if<welcome>(&*c)) check_place(*w);
    }
    if (const auto sequence = decode_broadcast(bytes)) {
        std::byte header[joinery::detail::broadcast_header];
        encode_broadcast(header, *sequence);
        require(std::equal(std::begin(header), std::end(header), bytes.begin()));
    }
    if (size == 0) return 0;
    const std::string text(reinterpret_cast<const char*>(data), size);
    for (const auto use : {zmq_address::use::dial, zmq_address::use::bind}) check_address(text, use);
    return 0;
}
