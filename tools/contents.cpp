// SPDX-License-Identifier: Apache-2.0
#include "contents.hpp"

#include "answers.hpp"
#include "standard_types.hpp"
#include "stored_items.hpp"

#include <joinery/delta.hpp>
#include <joinery/digest.hpp>
#include <joinery/frame.hpp>
#include <joinery/messages.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

namespace joinery::tool {

// ---- types ----

known_types::known_types(std::vector<tool_type> also) : all_(std::move(also)) {
    std::stable_partition(all_.begin(), all_.end(), [](const tool_type& t) { return !t.collection.empty(); });
    add_values(all_);
    add_sets(all_);
    add_maps(all_);
    add_sequences(all_);
}

const tool_type* known_types::find(std::string_view collection, std::uint64_t fingerprint) const {
    for (const auto& t : all_)
        if (t.fingerprint == fingerprint && (t.collection.empty() || t.collection == collection)) return &t;
    return nullptr;
}

namespace {

// Names are not stored, only their digests: those of many types that can be, by them.
const std::unordered_map<std::uint64_t, std::string>& common_names() {
    static const auto names = [] {
        std::vector<std::string> values{"string", "bool",           "f32",       "f64", "unique_id",
                                        "value",  "vector<string>", "vector<u8>"};
        for (const char* sign : {"i", "u"})
            for (const char* bits : {"8", "16", "32", "64"}) values.push_back(std::string(sign) + bits);
        std::vector<std::string> types{"record",           "document",          "tree",
                                       "rga_text",         "g_counter",         "pn_counter",
                                       "enable_wins_flag", "disable_wins_flag", "bounded_counter"};
        for (const char* of : {"lww_register", "mv_register", "or_set", "g_set", "rw_set", "lww_set", "two_phase_set",
                               "bag", "rga_list"})
            for (const auto& v : values) types.push_back(fmt::format("{}<{}>", of, v));
        for (const auto& v : values)
            for (const char* merge : {"maximum", "minimum"})
                types.push_back(fmt::format("merged_register<{},{}>", v, merge));
        for (int p = 4; p <= 18; ++p) types.push_back(fmt::format("hyperloglog<{}>", p));
        for (const char* p : {"5", "10", "20", "50"}) types.push_back(fmt::format("ddsketch<{}>", p));
        const auto plain = types;
        for (const auto& k : values) {
            for (const auto& v : values) types.push_back(fmt::format("lww_map<{},{}>", k, v));
            for (const auto& v : plain) {
                types.push_back(fmt::format("or_map<{},{}>", k, v));
                if (k == "string") types.push_back(fmt::format("or_map<string,or_map<string,{}>>", v));
            }
        }
        std::unordered_map<std::uint64_t, std::string> all;
        for (auto& t : types) all.emplace(digest(std::string_view(t)), t);
        return all;
    }();
    return names;
}

} // namespace

std::string known_types::name(std::string_view collection, std::uint64_t fingerprint) const {
    if (const auto* t = find(collection, fingerprint)) return t->name;
    const auto at = common_names().find(fingerprint);
    return at == common_names().end() ? std::string() : at->second;
}

// ---- frames ----

namespace {

// Calls f(item, where) for what the frames consist of, and goes on behind what cannot be read.
template <class F> void for_each_item(const file_collection& c, std::vector<damage>& found, F&& f) {
    const auto name = name_digest(c.name);
    const auto read = [&](std::span<const std::byte> frame, frame_kind kind, const std::string& where) {
        const auto bad = [&](decode_error e) {
            found.push_back({fmt::format("{} of '{}'", where, c.name), std::string(to_string(e))});
        };
        const auto body = open_stored(frame, kind, name, c.fingerprint);
        if (!body) return bad(body.error());
        try {
            compact_input_archive items(*body);
            while (items.remaining() > 0) {
                const auto item = read_item(items);
                f(item, kind, where, bad);
            }
        } catch (const decode_failure& e) {
            bad(e.reason);
        }
    };
    if (!c.snapshot.empty()) read(c.snapshot, frame_kind::snapshot, "snapshot");
    for (std::size_t i = 0; i < c.records.size(); ++i)
        read(c.records[i], frame_kind::record, fmt::format("record {}", i));
}

} // namespace

// Its head says what it covers and what follows.
stored_delta read_delta(std::span<const std::byte> bytes, const std::string& where, version_vector* horizon,
                        bool is_record) {
    compact_input_archive in(bytes);
    auto head = detail::delta_head::read(in);
    stored_delta d{where, bytes.size(), head.parts, std::move(head.covered), {}, {}, {}};
    if (head.parts & detail::delta_head::since) d.since = in.read_version_vector();
    if (head.parts & detail::delta_head::horizon) {
        auto pruned = in.read_version_vector();
        if (horizon) horizon->join(pruned);
    }
    d.rest = bytes.last(in.remaining());
    if (!is_record || !(head.parts & detail::delta_head::fragment)) return d;
    for (auto n = in.count(); n > 0; --n) {
        const auto tag = in.varint();
        if (tag & 1) // of a later version than the program that wrote it: the table that it builds on comes first
            for (auto names = in.count(); names > 0; --names) {
                in.replica();
                in.varint();
            }
        const auto size = in.varint();
        in.raw(size);
        d.fields.emplace_back(tag / 2, size);
    }
    return d;
}

namespace {

// The deltas of an answer, or the one delta that an item is.
std::vector<std::span<const std::byte>> deltas_of(const stored_item& item, version_vector& horizon) {
    if (item.is == stored_item::kind::delta) return {item.bytes};
    auto parts = parts_of(item.bytes);
    if (!parts) throw decode_failure(parts.error());
    horizon = std::move(parts->horizon);
    return std::move(parts->deltas);
}

} // namespace

void for_each_delta(const file_collection& c, std::vector<damage>& found,
                    const std::function<void(const stored_delta&)>& f) {
    const bool is_record = c.fingerprint == digest(std::string_view("record"));
    for_each_item(c, found, [&](const stored_item& item, frame_kind, const std::string& where, auto&&) {
        if (item.is == stored_item::kind::mark) return;
        version_vector horizon;
        for (const auto bytes : deltas_of(item, horizon)) f(read_delta(bytes, where, nullptr, is_record));
    });
}

contents read_contents(const file_collection& c, const known_types& types) {
    contents all;
    all.from = &c;
    all.type = types.find(c.name, c.fingerprint);
    all.type_name = types.name(c.name, c.fingerprint);
    if (all.type) all.state = all.type->make();
    for_each_item(c, all.found, [&](const stored_item& item, frame_kind kind, const std::string& where, auto&& bad) {
        if (item.is == stored_item::kind::mark) {
            all.held = item.held_after;
            return;
        }
        version_vector horizon;
        const auto deltas = deltas_of(item, horizon);
        all.horizon.join(horizon);
        for (const auto bytes : deltas) {
            all.context.join(read_delta(bytes, where, &all.horizon).covered);
            ++all.deltas;
        }
        if (!all.type) return;
        auto& state = *all.state;
        const auto done = item.is == stored_item::kind::answer ? state.join(horizon, deltas)
                          : kind == frame_kind::snapshot       ? state.start(item.bytes)
                                                               : state.join(item.bytes);
        if (!done) bad(done.error());
    });
    if (!all.found.empty()) all.state.reset();
    return all;
}

// ---- members ----

member_list read_members(const stored_file& f) {
    constexpr std::size_t item_size = 17; // what it is, a channel, an id
    member_list all;
    const auto* c = f.find(members_name);
    if (!c) return all;
    const auto read = [&](std::span<const std::byte> frame, frame_kind kind, const std::string& where) {
        const auto body = open_stored(frame, kind, name_digest(members_name), c->fingerprint);
        if (!body || body->size() % item_size != 0) {
            const auto why = body ? "a part of it is missing" : to_string(body.error());
            all.found.push_back({fmt::format("{} of '{}'", where, members_name), std::string(why)});
            return;
        }
        for (std::size_t at = 0; at < body->size(); at += item_size) {
            const auto number = [&](std::size_t from) {
                std::uint64_t v = 0;
                for (unsigned i = 0; i < 8; ++i) v |= std::to_integer<std::uint64_t>((*body)[at + from + i]) << (8 * i);
                return v;
            };
            if ((*body)[at] == std::byte{1}) all.joined[number(1)].insert(replica_id{number(9)});
            if ((*body)[at] == std::byte{2}) all.gone.insert(replica_id{number(9)});
        }
    };
    if (!c->snapshot.empty()) read(c->snapshot, frame_kind::snapshot, "snapshot");
    for (std::size_t i = 0; i < c->records.size(); ++i)
        read(c->records[i], frame_kind::record, fmt::format("record {}", i));
    return all;
}

std::vector<replica_id> member_list::of(const file_collection& c) const {
    std::vector<replica_id> there;
    const auto list = joined.find(channel_of(name_digest(c.name), c.fingerprint).value);
    if (list == joined.end()) return there;
    for (const auto who : list->second)
        if (!gone.contains(who)) there.push_back(who);
    return there;
}

} // namespace joinery::tool
