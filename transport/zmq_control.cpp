// SPDX-License-Identifier: Apache-2.0
#include "zmq_control.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace joinery::detail {

namespace {

enum kind : std::uint8_t { kind_hello = 1, kind_welcome = 2, kind_pulse = 3, kind_bye = 4 };
enum place_kind : std::uint8_t { place_port = 1, place_suffix = 2 };

// sockaddr_un holds 108 bytes, the last one zero, and ".pub" has to fit as well.
constexpr std::size_t max_ipc_path = 107 - 4;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_plain(char c) { return is_letter(c) || is_digit(c) || c == '.' || c == '_' || c == '-'; }

bool is_suffix(std::string_view s) {
    return !s.empty() && s.size() <= max_place_suffix && std::all_of(s.begin(), s.end(), is_plain);
}

template <class T> void put(std::vector<std::byte>& out, T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) {
        out.push_back(static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i)));
    }
}

/// Takes numbers from the front; `ok` turns false for good when the input ends too soon.
struct reader {
    std::span<const std::byte> rest;
    bool ok = true;

    template <class T> T take() {
        if (rest.size() < sizeof(T)) {
            ok = false;
            return T{};
        }
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i) value |= std::to_integer<std::uint64_t>(rest[i]) << (8 * i);
        rest = rest.subspan(sizeof(T));
        return static_cast<T>(value);
    }
};

struct writer {
    std::vector<std::byte>& out;

    void operator()(const hello& h) const {
        put<std::uint8_t>(out, kind_hello);
        put(out, static_cast<std::uint8_t>(h.stage));
    }
    void operator()(const welcome& w) const {
        put<std::uint8_t>(out, kind_welcome);
        put(out, w.incarnation);
        if (const auto* port = std::get_if<std::uint16_t>(&w.place)) {
            put<std::uint8_t>(out, place_port);
            put(out, *port);
        } else {
            put<std::uint8_t>(out, place_suffix);
            for (char c : std::get<std::string>(w.place)) out.push_back(static_cast<std::byte>(c));
        }
    }
    void operator()(const pulse& p) const {
        put<std::uint8_t>(out, kind_pulse);
        put(out, p.incarnation);
        put(out, p.next);
    }
    void operator()(const bye&) const { put<std::uint8_t>(out, kind_bye); }
};

using failed = failure<decode_error>;

result<control, decode_error> decode_welcome(reader& in) {
    welcome w;
    w.incarnation = in.take<std::uint64_t>();
    switch (in.take<std::uint8_t>()) {
    case place_port: {
        const auto port = in.take<std::uint16_t>();
        if (in.ok && port == 0) return failed(decode_error::invalid_value);
        w.place = port;
        return w;
    }
    case place_suffix: {
        if (in.rest.size() > max_place_suffix) return failed(decode_error::too_large);
        std::string suffix(in.rest.size(), '\0');
        std::transform(in.rest.begin(), in.rest.end(), suffix.begin(),
                       [](std::byte b) { return static_cast<char>(b); });
        if (suffix.empty()) return failed(decode_error::truncated);
        if (!is_suffix(suffix)) return failed(decode_error::invalid_value);
        in.rest = {};
        w.place = std::move(suffix);
        return w;
    }
    default: return failed(in.ok ? decode_error::invalid_value : decode_error::truncated);
    }
}

result<control, decode_error> decode_body(reader& in) {
    switch (in.take<std::uint8_t>()) {
    case kind_hello: {
        const auto stage = in.take<std::uint8_t>();
        if (stage > static_cast<std::uint8_t>(dial_stage::ready)) return failed(decode_error::invalid_value);
        return hello{static_cast<dial_stage>(stage)};
    }
    case kind_welcome: return decode_welcome(in);
    case kind_pulse: {
        pulse p;
        p.incarnation = in.take<std::uint64_t>();
        p.next = in.take<std::uint64_t>();
        return p;
    }
    case kind_bye: return bye{};
    default: return failed(in.ok ? decode_error::invalid_value : decode_error::truncated);
    }
}

} // namespace

std::vector<std::byte> encode_control(const control& c) {
    std::vector<std::byte> out{control_mark, std::byte{control_version}};
    std::visit(writer{out}, c);
    return out;
}

result<control, decode_error> decode_control(std::span<const std::byte> message) {
    if (message.empty()) return failed(decode_error::truncated);
    if (message[0] != control_mark) return failed(decode_error::bad_magic);
    reader in{message.subspan(1)};
    if (in.take<std::uint8_t>() != control_version) {
        return failed(in.ok ? decode_error::unknown_version : decode_error::truncated);
    }
    auto c = decode_body(in);
    if (!c) return c;
    if (!in.ok) return failed(decode_error::truncated);
    if (!in.rest.empty()) return failed(decode_error::trailing_bytes);
    return c;
}

void encode_broadcast(std::byte* to, std::uint64_t sequence) {
    *to++ = broadcast_mark;
    for (std::size_t i = 0; i < sizeof sequence; ++i) *to++ = static_cast<std::byte>(sequence >> (8 * i));
}

result<std::uint64_t, decode_error> decode_broadcast(std::span<const std::byte> message) {
    if (message.empty() || message[0] != broadcast_mark) return failed(decode_error::bad_magic);
    reader in{message.subspan(1)};
    const auto sequence = in.take<std::uint64_t>();
    if (!in.ok) return failed(decode_error::truncated);
    return sequence;
}

// Nothing is handed to ZeroMQ that was not understood here: it reads more into an address than a host and
// a port ("tcp://127.0.0.1:0;10.0.0.1:7001" dials 10.0.0.1), which would slip past `local`.
zmq_address zmq_address::parse(const std::string& whole, use u, std::string_view what) {
    auto refuse = [&](const std::string& reason) -> std::invalid_argument {
        return std::invalid_argument(std::string(what) + ": \"" + whole + "\" " + reason);
    };
    zmq_address a;
    const std::size_t mark = std::min(whole.find('#'), whole.size());
    const std::string text = whole.substr(0, mark);
    if (mark < whole.size()) {
        if (u == use::bind) throw refuse("has a '#', after which a key stands where it is dialled");
        a.key = peer_key::parse(std::string_view(whole).substr(mark + 1));
        if (!a.key) throw refuse("has no key of 64 hexadecimal digits after the '#'");
    }
    if (text.starts_with("ipc://")) {
        a.ipc = true;
        a.host = text.substr(6);
        if (a.host.empty()) throw refuse("has no path");
        if (a.host.find('\0') != std::string::npos) throw refuse("has a zero byte in its path");
        if (a.host.size() > max_ipc_path) {
            throw refuse("has a path longer than " + std::to_string(max_ipc_path) + " bytes");
        }
        if (a.host == "*" && u == use::dial) throw refuse("cannot be dialled");
        return a;
    }
    if (!text.starts_with("tcp://")) throw refuse("is neither tcp://HOST:PORT nor ipc://PATH");
    const std::size_t colon = text.rfind(':');
    if (colon <= 6) throw refuse("is not of the form tcp://HOST:PORT");
    a.host = text.substr(6, colon - 6);
    a.port = text.substr(colon + 1);

    bool good;
    if (a.host.front() == '[') {
        good = a.host.size() > 2 && a.host.back() == ']' &&
               std::all_of(a.host.begin() + 1, a.host.end() - 1,
                           [](char c) { return is_plain(c) || c == ':' || c == '%'; });
    } else {
        good = std::all_of(a.host.begin(), a.host.end(), is_plain) || (a.host == "*" && u == use::bind);
    }
    if (!good) throw refuse("has no valid host (IPv6 addresses stand in brackets)");

    if (a.port == "*" || a.port == "0") {
        if (u == use::dial) throw refuse("cannot be dialled");
        a.port = "*";
        return a;
    }
    unsigned port = 0;
    const char* end = a.port.data() + a.port.size();
    const auto [parsed, error] = std::from_chars(a.port.data(), end, port);
    if (error != std::errc{} || parsed != end || port == 0 || port > 65535) throw refuse("has no valid port");
    return a;
}

std::string zmq_address::str() const { return ipc ? "ipc://" + host : "tcp://" + host + ":" + port; }

bool zmq_address::named() const {
    in_addr v4;
    return !ipc && !numeric_ipv6() && host != "*" && inet_pton(AF_INET, host.c_str(), &v4) != 1;
}

bool zmq_address::local() const {
    if (ipc || host == "localhost") return true;
    if (numeric_ipv6()) {
        in6_addr v6;
        return inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    }
    in_addr v4;
    return inet_pton(AF_INET, host.c_str(), &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

std::string zmq_address::publish_endpoint(const publish_place& place) const {
    if (ipc) {
        const auto* suffix = std::get_if<std::string>(&place);
        return suffix && is_suffix(*suffix) ? "ipc://" + host + *suffix : std::string();
    }
    const auto* number = std::get_if<std::uint16_t>(&place);
    return number && *number != 0 ? "tcp://" + host + ":" + std::to_string(*number) : std::string();
}

} // namespace joinery::detail
