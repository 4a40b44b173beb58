// SPDX-License-Identifier: Apache-2.0
#include <joinery/messages.hpp>

#include <joinery/delta.hpp>
#include <joinery/digest.hpp>

#include <algorithm>
#include <bit>
#include <functional>
#include <utility>

namespace joinery {

namespace {

constexpr std::size_t index_of_update = 1; // its place among the tags and in `message`

// Numbers that use all of their bits: nonces and digests.
void fixed(compact_output_archive& ar, std::uint64_t v) {
    for (unsigned i = 0; i < 8; ++i) ar.byte(static_cast<std::uint8_t>(v >> (8 * i)));
}
std::uint64_t fixed(compact_input_archive& ar) {
    std::uint64_t v = 0;
    for (unsigned i = 0; i < 8; ++i) v |= std::uint64_t{ar.byte()} << (8 * i);
    return v;
}

// Most are zero in most messages.
void optional_fixed(compact_output_archive& ar, std::uint64_t v) {
    ar.byte(v != 0);
    if (v != 0) fixed(ar, v);
}
std::uint64_t optional_fixed(compact_input_archive& ar) {
    bool there = false;
    ar(there);
    if (!there) return 0;
    std::uint64_t v = fixed(ar);
    if (v == 0) ar.fail(decode_error::non_canonical);
    return v;
}

// A channel takes a place in the archive's table of replicas: its eight bytes are written once per frame.
void write(compact_output_archive& ar, channel c) { ar.replica(replica_id{c.value}); }
channel read_channel(compact_input_archive& ar) { return {ar.replica().value()}; }

void write(compact_output_archive& ar, std::span<const std::byte> bytes) {
    ar.varint(bytes.size());
    ar.raw(bytes.data(), bytes.size());
}
std::span<const std::byte> read_bytes(compact_input_archive& ar) { return ar.raw(ar.varint()); }

template <class T, class F> void read_list(compact_input_archive& ar, std::vector<T>& out, F&& read) {
    std::size_t n = ar.count();
    ar.charge(std::uint64_t{n} * sizeof(T));
    out.clear();
    out.reserve(n);
    for (; n > 0; --n) read(out.emplace_back());
}

} // namespace

std::uint64_t name_digest(std::string_view collection) { return digest(collection); }

channel channel_of(std::uint64_t name, std::uint64_t fingerprint) { return {combine(name, fingerprint)}; }

result<causal_context, decode_error> coverage_of(std::span<const std::byte> delta) {
    try {
        compact_input_archive ar(delta);
        return detail::delta_head::read(ar).covered;
    } catch (const decode_failure& e) {
        return failure<decode_error>(e.reason);
    }
}

result<dot_range, decode_error> edit_dots(std::span<const std::byte> delta) {
    if (const auto start = detail::edit_start::of(delta)) return start->dots;
    return failure<decode_error>(decode_error::invalid_value);
}

std::string_view to_string(refusal r) {
    switch (r) {
    case refusal::protocol: return "another protocol version";
    case refusal::type: return "another type under the same name";
    case refusal::unknown: return "unknown collection";
    case refusal::busy: return "busy";
    case refusal::identity_in_use: return "another instance lives under this id";
    case refusal::identity_free: return "the other instance has taken another id";
    case refusal::evicted: return "evicted";
    case refusal::forbidden: return "forbidden";
    }
    return "unknown reason";
}

std::string_view to_string(node_role r) {
    switch (r) {
    case node_role::leader: return "leader";
    case node_role::follower: return "follower";
    case node_role::hub: return "hub";
    }
    return "unknown role";
}

void save(compact_output_archive& ar, const hello& m) {
    ar.varint(m.protocol);
    ar.replica(m.replica);
    fixed(ar, m.nonce);
    optional_fixed(ar, m.challenge);
    optional_fixed(ar, m.echo);
    ar(m.hears, m.complete);
    ar.byte(m.durability);
    ar.byte(static_cast<std::uint8_t>(m.role));
    ar(m.name, m.zone);
    ar.varint(m.formers.size());
    for (const auto r : m.formers) ar.replica(r);
    ar.varint(m.collections.size());
    for (const auto& c : m.collections) {
        fixed(ar, c.name);
        fixed(ar, c.fingerprint);
        ar.write(c.version);
        ar(c.member, c.group, c.fallen_back, c.withholds, c.refuses);
    }
}

// The protocol version comes first: what follows it in another version cannot be known, and is not read.
void load(compact_input_archive& ar, hello& m) {
    std::uint64_t protocol = ar.varint();
    if (protocol != protocol_version) {
        m = {};
        m.protocol = static_cast<std::uint32_t>(std::min<std::uint64_t>(protocol, UINT32_MAX));
        ar.raw(ar.remaining());
        return;
    }
    m.protocol = protocol_version;
    m.replica = ar.replica();
    m.nonce = fixed(ar);
    if (m.nonce == 0) ar.fail(decode_error::invalid_value);
    m.challenge = optional_fixed(ar);
    m.echo = optional_fixed(ar);
    ar(m.hears, m.complete);
    m.durability = ar.byte();
    const std::uint8_t role = ar.byte();
    if (role > 2) ar.fail(decode_error::invalid_value);
    m.role = static_cast<node_role>(role);
    ar(m.name, m.zone);
    if (m.name.size() > hello::max_name || m.zone.size() > hello::max_name) ar.fail(decode_error::too_large);
    read_list(ar, m.formers, [&](replica_id& r) { r = ar.replica(); });
    if (m.formers.size() > hello::max_formers) ar.fail(decode_error::too_large);
    read_list(ar, m.collections, [&](hello::collection& c) {
        c.name = fixed(ar);
        c.fingerprint = fixed(ar);
        c.version = ar.read_version_vector();
        ar(c.member, c.group, c.fallen_back, c.withholds, c.refuses);
    });
}

// The number of dependencies and the wish for an answer share a number.
void save(compact_output_archive& ar, const update& m) {
    write(ar, m.channel);
    ar.varint(m.dependencies.size() * 4 + static_cast<std::uint64_t>(m.wanted));
    for (const auto& [r, seq] : m.dependencies) ar.write(dot{r, seq});
    write(ar, m.delta);
}
void load(compact_input_archive& ar, update& m) {
    m.channel = read_channel(ar);
    std::uint64_t code = ar.varint();
    if (code % 4 > 2) ar.fail(decode_error::invalid_value);
    m.wanted = static_cast<assurance>(code % 4);
    m.dependencies = {};
    if (code / 4 > ar.remaining()) ar.fail(decode_error::truncated);
    ar.charge(code / 4 * 2 * sizeof(version_vector::value_type));
    replica_id before;
    for (std::uint64_t i = 0; i < code / 4; ++i) {
        dot d = ar.read_dot();
        if (i > 0 && d.replica <= before) ar.fail(decode_error::non_canonical);
        before = d.replica;
        m.dependencies.raise(d.replica, d.seq);
    }
    m.delta = read_bytes(ar);
}

void save(compact_output_archive& ar, const beacon& m) {
    ar.replica(m.replica);
    fixed(ar, m.nonce);
    ar.varint(m.collections.size());
    for (const auto& c : m.collections) {
        write(ar, c.channel);
        ar.write(c.version);
        optional_fixed(ar, c.members);
        ar(c.digest.has_value());
        if (c.digest) fixed(ar, *c.digest);
    }
}
void load(compact_input_archive& ar, beacon& m) {
    m.replica = ar.replica();
    m.nonce = fixed(ar);
    read_list(ar, m.collections, [&](beacon::collection& c) {
        c.channel = read_channel(ar);
        c.version = ar.read_version_vector();
        c.members = optional_fixed(ar);
        bool digest = false;
        ar(digest);
        c.digest = digest ? std::optional(fixed(ar)) : std::nullopt;
    });
}

void save(compact_output_archive& ar, const pull& m) {
    write(ar, m.channel);
    fixed(ar, m.request);
    ar.write(m.version);
    ar.varint(m.offset);
    ar.varint(m.until);
    ar(m.repair);
    if (m.repair) ar.write(m.dots);
}
void load(compact_input_archive& ar, pull& m) {
    m.channel = read_channel(ar);
    m.request = fixed(ar);
    m.version = ar.read_version_vector();
    m.offset = ar.varint();
    m.until = ar.varint();
    if (m.until < m.offset) ar.fail(decode_error::invalid_value);
    ar(m.repair);
    m.dots = m.repair ? ar.read_causal_context() : causal_context();
}

void save(compact_output_archive& ar, const chunk& m) {
    write(ar, m.channel);
    fixed(ar, m.request);
    fixed(ar, m.answer);
    ar.varint(m.offset);
    ar.varint(m.total);
    write(ar, m.bytes);
}
void load(compact_input_archive& ar, chunk& m) {
    m.channel = read_channel(ar);
    m.request = fixed(ar);
    m.answer = fixed(ar);
    m.offset = ar.varint();
    m.total = ar.varint();
    m.bytes = read_bytes(ar);
    if (m.bytes.empty() || m.offset > m.total || m.bytes.size() > m.total - m.offset)
        ar.fail(decode_error::invalid_value);
}

void save(compact_output_archive& ar, const credit& m) {
    write(ar, m.channel);
    fixed(ar, m.request);
    ar.varint(m.received);
    ar.varint(m.until);
}
void load(compact_input_archive& ar, credit& m) {
    m.channel = read_channel(ar);
    m.request = fixed(ar);
    m.received = ar.varint();
    m.until = ar.varint();
    if (m.until < m.received) ar.fail(decode_error::invalid_value);
}

void save(compact_output_archive& ar, const refuse& m) {
    ar.byte(static_cast<std::uint8_t>(m.reason));
    optional_fixed(ar, m.name);
    optional_fixed(ar, m.request);
    optional_fixed(ar, m.nonce);
}
void load(compact_input_archive& ar, refuse& m) {
    std::uint8_t reason = ar.byte();
    if (reason < 1 || reason > 8) ar.fail(decode_error::invalid_value);
    m.reason = static_cast<refusal>(reason);
    m.name = optional_fixed(ar);
    m.request = optional_fixed(ar);
    m.nonce = optional_fixed(ar);
}

void save(compact_output_archive& ar, const relaying& m) {
    write(ar, m.channel);
    ar.replica(m.origin);
    ar.byte(static_cast<std::uint8_t>(m.wish));
}
void load(compact_input_archive& ar, relaying& m) {
    m.channel = read_channel(ar);
    m.origin = ar.replica();
    const std::uint8_t wish = ar.byte();
    if (wish < 1 || wish > 3) ar.fail(decode_error::invalid_value);
    m.wish = static_cast<relay_wish>(wish);
}

namespace {

void write_ids(compact_output_archive& ar, const std::vector<replica_id>& ids) {
    ar.varint(ids.size());
    for (const auto r : ids) ar.replica(r);
}
void read_ids(compact_input_archive& ar, std::vector<replica_id>& ids) {
    read_list(ar, ids, [&](replica_id& r) { r = ar.replica(); });
    if (std::adjacent_find(ids.begin(), ids.end(), std::greater_equal<>()) != ids.end())
        ar.fail(decode_error::non_canonical);
}

} // namespace

void save(compact_output_archive& ar, const membership& m) {
    write(ar, m.channel);
    write_ids(ar, m.joined);
    write_ids(ar, m.gone);
}
void load(compact_input_archive& ar, membership& m) {
    m.channel = read_channel(ar);
    read_ids(ar, m.joined);
    read_ids(ar, m.gone);
}

void save(compact_output_archive& ar, const acknowledgements& m) {
    write(ar, m.channel);
    ar.varint(m.entries.size());
    for (const auto& e : m.entries) {
        ar.replica(e.member);
        fixed(ar, e.members);
        ar.write(e.version);
    }
}
void load(compact_input_archive& ar, acknowledgements& m) {
    m.channel = read_channel(ar);
    read_list(ar, m.entries, [&](acknowledgements::entry& e) {
        e.member = ar.replica();
        e.members = fixed(ar);
        e.version = ar.read_version_vector();
    });
}

void save(compact_output_archive& ar, const receipt& m) {
    write(ar, m.channel);
    ar.write(m.version);
}
void load(compact_input_archive& ar, receipt& m) {
    m.channel = read_channel(ar);
    m.version = ar.read_version_vector();
}

void save(compact_output_archive& ar, const presence& m) {
    write(ar, m.channel);
    ar.replica(m.replica);
    fixed(ar, m.nonce);
    ar.varint(m.sequence);
    ar.varint(m.time_to_live);
    write(ar, m.bytes);
}
void load(compact_input_archive& ar, presence& m) {
    m.channel = read_channel(ar);
    m.replica = ar.replica();
    m.nonce = fixed(ar);
    m.sequence = ar.varint();
    m.time_to_live = ar.varint();
    m.bytes = read_bytes(ar);
    if (m.nonce == 0 || m.sequence == 0 || m.time_to_live == 0) ar.fail(decode_error::invalid_value);
    if (m.time_to_live > presence::max_time_to_live || m.bytes.size() > presence::max_bytes)
        ar.fail(decode_error::too_large);
}

void save(compact_output_archive& ar, const comparison& m) {
    write(ar, m.channel);
    fixed(ar, m.request);
    fixed(ar, m.version);
    ar.byte(static_cast<std::uint8_t>((std::bit_width(m.width) - 1) / 4));
    ar.write(m.dots);
}
void load(compact_input_archive& ar, comparison& m) {
    m.channel = read_channel(ar);
    m.request = fixed(ar);
    m.version = fixed(ar);
    const unsigned level = ar.byte();
    if (level > 15) ar.fail(decode_error::invalid_value);
    m.width = std::uint64_t{1} << (4 * level);
    m.dots = ar.read_causal_context();
    std::size_t blocks = 0;
    m.dots.for_each([&](const dot_range& r) {
        const auto n = (r.last - 1) / m.width - (r.first - 1) / m.width + 1;
        if (n > comparison::max_blocks || (blocks += static_cast<std::size_t>(n)) > comparison::max_blocks)
            ar.fail(decode_error::too_large);
    });
}

void save(compact_output_archive& ar, const digests& m) {
    write(ar, m.channel);
    fixed(ar, m.request);
    ar.varint(m.values.size());
    for (const auto v : m.values) fixed(ar, v);
}
void load(compact_input_archive& ar, digests& m) {
    m.channel = read_channel(ar);
    m.request = fixed(ar);
    read_list(ar, m.values, [&](std::uint64_t& v) { v = fixed(ar); });
}

void save(compact_output_archive& ar, const request& m) {
    write(ar, m.channel);
    ar.replica(m.origin);
    ar.replica(m.target);
    fixed(ar, m.nonce);
    ar.varint(m.number);
    write(ar, std::as_bytes(std::span(m.service)));
    write(ar, m.bytes);
}
void load(compact_input_archive& ar, request& m) {
    m.channel = read_channel(ar);
    m.origin = ar.replica();
    m.target = ar.replica();
    m.nonce = fixed(ar);
    m.number = ar.varint();
    const auto service = read_bytes(ar);
    m.service = {reinterpret_cast<const char*>(service.data()), service.size()};
    m.bytes = read_bytes(ar);
    if (m.nonce == 0 || m.number == 0) ar.fail(decode_error::invalid_value);
    if (m.service.size() > request::max_service || m.bytes.size() > request::max_bytes)
        ar.fail(decode_error::too_large);
}

void save(compact_output_archive& ar, const reply& m) {
    write(ar, m.channel);
    ar.replica(m.origin);
    fixed(ar, m.nonce);
    ar.varint(m.number);
    write(ar, m.bytes);
}
void load(compact_input_archive& ar, reply& m) {
    m.channel = read_channel(ar);
    m.origin = ar.replica();
    m.nonce = fixed(ar);
    m.number = ar.varint();
    m.bytes = read_bytes(ar);
    if (m.nonce == 0 || m.number == 0) ar.fail(decode_error::invalid_value);
    if (m.bytes.size() > request::max_bytes) ar.fail(decode_error::too_large);
}

// ---- edits in a row ----

namespace {

constexpr std::uint8_t in_a_row = 0x80; // a tag: this and the number of bytes that follow, or
constexpr std::uint8_t long_one = 0xff; // that many less these is a varint

} // namespace

std::optional<std::size_t> detail::edits_in_a_row::continued_by(const update& m) const {
    if (next_.seq == 0 || m.channel != channel_ || m.wanted != assurance::none || !m.dependencies.empty())
        return std::nullopt;
    const auto start = detail::edit_start::of(m.delta);
    if (!start || dot{start->dots.replica, start->dots.first} != next_) return std::nullopt;
    return start->rest;
}

update detail::edits_in_a_row::next(std::span<const std::byte> rest, std::vector<std::byte>& delta) const {
    if (next_.seq == 0 || rest.empty() || std::to_integer<std::uint8_t>(rest[0]) <= delta_head::all_parts)
        throw decode_failure(decode_error::invalid_value);
    delta.clear();
    compact_output_archive ar(delta);
    ar.byte(std::to_integer<std::uint8_t>(rest[0]));
    ar.write_first(next_);
    ar.raw(rest.data() + 1, rest.size() - 1);
    if (!edit_start::of(delta)) throw decode_failure(decode_error::invalid_value);
    return {channel_, assurance::none, {}, delta};
}

void detail::edits_in_a_row::passed(const update& m) {
    channel_ = m.channel;
    const auto start = detail::edit_start::of(m.delta);
    next_ = start && start->dots.last < max_sequence ? dot{start->dots.replica, start->dots.last + 1} : dot{};
}

// ---- batches ----

template <class M> void message_batch::put(std::uint8_t tag, const M& m) {
    archive_->byte(tag);
    save(*archive_, m);
}
void message_batch::add(const hello& m) { put(1, m); }
void message_batch::add(const update& m) {
    if (const auto rest = edits_.continued_by(m)) {
        const std::size_t size = 1 + m.delta.size() - *rest;
        archive_->byte(static_cast<std::uint8_t>(std::min<std::size_t>(in_a_row + size, long_one)));
        if (in_a_row + size >= long_one) archive_->varint(in_a_row + size - long_one);
        archive_->raw(m.delta.data(), 1);
        archive_->raw(m.delta.data() + *rest, size - 1);
    } else {
        put(1 + index_of_update, m);
    }
    edits_.passed(m);
}
void message_batch::add(const beacon& m) { put(3, m); }
void message_batch::add(const pull& m) { put(4, m); }
void message_batch::add(const chunk& m) { put(5, m); }
void message_batch::add(const credit& m) { put(6, m); }
void message_batch::add(const refuse& m) { put(7, m); }
void message_batch::add(const relaying& m) { put(8, m); }
void message_batch::add(const membership& m) { put(9, m); }
void message_batch::add(const acknowledgements& m) { put(10, m); }
void message_batch::add(const presence& m) { put(11, m); }
void message_batch::add(const comparison& m) { put(12, m); }
void message_batch::add(const digests& m) { put(13, m); }
void message_batch::add(const receipt& m) { put(14, m); }
void message_batch::add(const request& m) { put(15, m); }
void message_batch::add(const reply& m) { put(16, m); }

void message_batch::clear() {
    frame_.clear();
    archive_.emplace(frame_.body());
    edits_ = {};
}

void message_reader::read(update& m) {
    load(archive_, m);
    if (edits_.continued_by(m)) archive_.fail(decode_error::non_canonical);
    edits_.passed(m);
}

void message_reader::read_next(std::uint8_t tag, update& m) {
    std::uint64_t size = tag - in_a_row;
    if (tag == long_one) {
        const std::uint64_t more = archive_.varint();
        if (more > archive_.remaining()) archive_.fail(decode_error::truncated);
        size += more;
    }
    m = edits_.next(archive_.raw(size), delta_);
    edits_.passed(m);
}

result<bool, decode_error> message_reader::next(message& out) {
    if (archive_.remaining() == 0) return false;
    try {
        const std::uint8_t tag = archive_.byte();
        if (tag == 1 + index_of_update || tag >= in_a_row) { // by far the most frequent: keeps its memory
            auto* known = std::get_if<update>(&out);
            auto& u = known ? *known : out.emplace<update>();
            tag >= in_a_row ? read_next(tag, u) : read(u);
            return true;
        }
        switch (tag) {
        case 1: load(archive_, out.emplace<hello>()); break;
        case 3: load(archive_, out.emplace<beacon>()); break;
        case 4: load(archive_, out.emplace<pull>()); break;
        case 5: load(archive_, out.emplace<chunk>()); break;
        case 6: load(archive_, out.emplace<credit>()); break;
        case 7: load(archive_, out.emplace<refuse>()); break;
        case 8: load(archive_, out.emplace<relaying>()); break;
        case 9: load(archive_, out.emplace<membership>()); break;
        case 10: load(archive_, out.emplace<acknowledgements>()); break;
        case 11: load(archive_, out.emplace<presence>()); break;
        case 12: load(archive_, out.emplace<comparison>()); break;
        case 13: load(archive_, out.emplace<digests>()); break;
        case 14: load(archive_, out.emplace<receipt>()); break;
        case 15: load(archive_, out.emplace<request>()); break;
        case 16: load(archive_, out.emplace<reply>()); break;
        default: archive_.fail(decode_error::invalid_value);
        }
        return true;
    } catch (const decode_failure& e) {
        return failure<decode_error>(e.reason);
    } catch (const std::bad_alloc&) {
        return failure<decode_error>(decode_error::too_large);
    }
}

} // namespace joinery
