// SPDX-License-Identifier: Apache-2.0

// What a damaged storage still has, in a new one. That is a copy of the damaged one (stored_node::copy): its node goes
// on under a new id, so no dot is issued twice, whatever was lost. And in it no replica's edits have a hole: what comes
// behind a lost one is left out, since nobody would ever ask this node for what its version does not say, and whoever
// has the edits sends them again.

#include "commands.hpp"

#include "answers.hpp"
#include "salvage.hpp"
#include "stored_items.hpp"

#include <joinery/frame.hpp>
#include <joinery/messages.hpp>
#include <joinery/storage.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

namespace joinery::tool {

namespace {

constexpr std::uint64_t members_fingerprint = 0x6a6f'696e'7331'0001u; // as in sync/engine_members.cpp
constexpr std::size_t copied_at_once = std::size_t{1} << 20;

/// One collection: what goes into the new storage, and what is known of the rest.
struct rescued {
    std::string name;
    std::uint64_t fingerprint = 0;
    std::vector<std::byte> snapshot;
    std::vector<std::vector<std::byte>> records;
    bool name_lost = false, snapshot_lost = false;
    std::size_t records_lost = 0; ///< that are there, and damaged or of no use without others
    std::size_t gaps = 0;         ///< places where others are missing
    causal_context kept, seen;

    bool complete() const { return !name_lost && !snapshot_lost && records_lost == 0 && gaps == 0; }
    /// The dots that are known to have been there.
    causal_context lost() const {
        causal_context all;
        for (const auto& r : seen.ranges()) all.add({r.replica, 1, r.last});
        return all.minus(kept);
    }
};

class rescue {
public:
    rescue(found_collection&& from, const known_types& types) : from_(std::move(from)) {
        out_.name = *from_.name;
        out_.fingerprint = from_.fingerprint;
        if (const auto* type = types.find(out_.name, out_.fingerprint)) state_ = type->make();
        out_.snapshot_lost = gap_ = from_.snapshot_lost;
        if (!from_.snapshot.empty() && take(from_.snapshot, frame_kind::snapshot)) {
            out_.snapshot = std::move(from_.snapshot);
        } else if (!from_.snapshot.empty()) {
            out_.snapshot_lost = gap_ = true;
        }
        for (auto& r : from_.records) {
            if (!r) {
                ++out_.gaps;
                gap_ = true;
            } else if (!gap_ && take(*r, frame_kind::record)) {
                out_.records.push_back(std::move(*r));
            } else {
                gap_ = true;
                out_.records_lost += !take_parts(*r);
            }
        }
    }
    rescued take_result() && { return std::move(out_); }

private:
    found_collection from_;
    rescued out_;
    std::unique_ptr<shown_state> state_; // of a known type: values are read, too
    bool gap_ = false;

    struct read_part {
        stored_item item;
        causal_context covered;
        version_vector since, horizon;
        std::vector<std::span<const std::byte>> deltas;
    };

    std::optional<std::vector<read_part>> read(std::span<const std::byte> frame, frame_kind kind) {
        const auto body = open_stored(frame, kind, name_digest(out_.name), out_.fingerprint);
        if (!body) return std::nullopt;
        std::vector<read_part> all;
        try {
            compact_input_archive in(*body);
            while (in.remaining() > 0) {
                auto& p = all.emplace_back();
                p.item = read_item(in);
                if (p.item.is == stored_item::kind::mark) continue;
                p.deltas = {p.item.bytes};
                if (p.item.is == stored_item::kind::answer) {
                    auto parts = parts_of(p.item.bytes);
                    if (!parts) return std::nullopt;
                    p.horizon = parts->horizon;
                    p.deltas = std::move(parts->deltas);
                }
                for (const auto bytes : p.deltas) {
                    const auto d = read_delta(bytes, {});
                    p.covered.join(d.covered);
                    p.since.join(d.since);
                }
                out_.seen.join(p.covered);
            }
        } catch (const decode_failure&) {
            return std::nullopt;
        }
        return all;
    }

    bool join(const read_part& p, frame_kind kind) {
        if (p.item.is == stored_item::kind::mark) return true;
        if (state_) {
            const auto done = p.item.is == stored_item::kind::answer ? state_->join(p.horizon, p.deltas)
                              : kind == frame_kind::snapshot         ? state_->start(p.item.bytes)
                                                                     : state_->join(p.item.bytes);
            if (!done) return false;
        }
        out_.kept.join(p.covered);
        return true;
    }

    bool take(std::span<const std::byte> frame, frame_kind kind) {
        const auto parts = read(frame, kind);
        return parts && std::all_of(parts->begin(), parts->end(), [&](const auto& p) { return join(p, kind); });
    }

    // Behind a gap, what leaves no hole in any replica's edits. True if that is all of the record.
    bool take_parts(std::span<const std::byte> frame) {
        const auto parts = read(frame, frame_kind::record);
        if (!parts) return false;
        bool all = true;
        frame_writer kept;
        for (const auto& p : *parts) {
            if (p.item.is == stored_item::kind::mark) {
                put_mark(kept.body(), p.item.held_after);
                continue;
            }
            auto with = out_.kept;
            with.join(p.covered);
            const bool fits = p.since.within(out_.kept.version()) && out_.kept.contains(with.minus(with.version()));
            if (!fits || !join(p, frame_kind::record)) {
                all = all && out_.kept.contains(p.covered);
                continue;
            }
            p.item.is == stored_item::kind::answer ? put_answer(kept.body(), p.item.bytes)
                                                   : put_item(kept.body(), p.item.bytes);
        }
        if (kept.body_size() > 0) {
            const auto f = kept.close(frame_kind::record, name_digest(out_.name), out_.fingerprint);
            out_.records.emplace_back(f.begin(), f.end());
        }
        return all;
    }
};

// ---- the list of members ----

void put_number(std::vector<std::byte>& to, std::uint64_t v) {
    for (unsigned i = 0; i < 8; ++i) to.push_back(static_cast<std::byte>(v >> (8 * i)));
}

/// The list is a set that grows: any part of it is good. Whoever has edits counts as a member if part of it is lost, or
/// what the others need might be forgotten.
rescued rescue_members(found_collection&& from, const std::vector<rescued>& others) {
    rescued out;
    out.name = members_name;
    out.fingerprint = members_fingerprint;
    const auto good = [](std::span<const std::byte> frame, frame_kind kind) {
        const auto body = open_stored(frame, kind, name_digest(members_name), members_fingerprint);
        return body && body->size() % 17 == 0;
    };
    out.snapshot_lost = from.snapshot_lost;
    if (!from.snapshot.empty() && good(from.snapshot, frame_kind::snapshot))
        out.snapshot = std::move(from.snapshot);
    else
        out.snapshot_lost = out.snapshot_lost || !from.snapshot.empty();
    for (auto& r : from.records) {
        if (!r)
            ++out.gaps;
        else if (good(*r, frame_kind::record))
            out.records.push_back(std::move(*r));
        else
            ++out.records_lost;
    }
    if (out.complete()) return out;
    frame_writer added;
    for (const auto& c : others) {
        std::set<replica_id> with_edits;
        for (const auto& r : c.seen.ranges()) with_edits.insert(r.replica);
        for (const auto who : with_edits) {
            added.body().push_back(std::byte{1}); // joined
            put_number(added.body(), channel_of(name_digest(c.name), c.fingerprint).value);
            put_number(added.body(), who.value());
        }
    }
    if (added.body_size() > 0) {
        const auto f = added.close(frame_kind::record, name_digest(members_name), members_fingerprint);
        out.records.emplace_back(f.begin(), f.end());
    }
    return out;
}

// ---- the new file ----

class new_file {
public:
    explicit new_file(std::string path) : path_(std::move(path)), part_(path_ + ".recovering") {
        std::error_code ignored;
        if (std::filesystem::exists(std::filesystem::symlink_status(path_, ignored)))
            throw tool_error(fmt::format("{}: there is a file of that name already", path_));
        remove_part();
    }
    ~new_file() { remove_part(); }
    new_file(const new_file&) = delete;
    new_file& operator=(const new_file&) = delete;

    // As a backup of a storage that has this: durable and complete once it has its name.
    void write(std::optional<replica_id> id, const std::vector<rescued>& all, const std::string& key_file) {
        const auto disk = behind(key_file, sqlite_storage(part_, durability::relaxed));
        disk->load();
        if (id) disk->set_id(*id);
        for (const auto& c : all) {
            const auto number = disk->attach(c.name, c.fingerprint);
            if (!c.snapshot.empty()) disk->compact(number, c.snapshot);
            for (const auto& r : c.records) disk->append(number, r);
            disk->sync();
        }
        const auto copy = disk->back_up(path_);
        while (!copy->copy(copied_at_once)) {
        }
        copy->finish();
    }

private:
    std::string path_, part_;

    void remove_part() noexcept {
        std::error_code ignored;
        for (const char* suffix : {"", "-wal", "-journal"}) std::filesystem::remove(part_ + suffix, ignored);
    }
};

/// Without damage as it is; else whatever can be found.
found_node read_all(const std::string& path, std::vector<damage>& found) {
    const auto image = read_image(path);
    if (image.owner) throw tool_error(fmt::format("{}: in use by another process", path));
    try {
        auto file = read_stored(path, true);
        found = file.found;
        if (found.empty()) return all_of(std::move(file));
    } catch (const newer_format&) {
        throw;
    } catch (const tool_error& e) {
        const std::string what = e.what();
        found.push_back({"file", what.substr(what.starts_with(path + ": ") ? path.size() + 2 : 0)});
    }
    return salvage(image);
}

json_value described(const rescued& c) {
    auto one = json_value::object();
    one.add("name", c.name_lost ? json_value() : json_value(c.name));
    one.add("complete", c.complete());
    one.add("snapshot", c.snapshot_lost ? "lost" : c.snapshot.empty() ? "none" : "kept");
    one.add("records", c.records.size());
    one.add("records_lost", c.records_lost);
    one.add("gaps", c.gaps);
    one.add("edits", c.kept.count());
    one.add("version", to_json(c.kept.version()));
    one.add("lost", to_json(c.lost()));
    return one;
}

std::string told(const rescued& c) {
    if (c.complete()) return "complete";
    std::vector<std::string> said;
    if (c.name_lost) said.emplace_back("its name is lost, and so is all of it");
    if (c.snapshot_lost && !c.name_lost) said.emplace_back("the snapshot is lost");
    if (c.records_lost > 0) said.push_back(fmt::format("{} records are lost", c.records_lost));
    if (c.gaps > 0) said.push_back(fmt::format("in {} places an unknown number of records is missing", c.gaps));
    if (const auto lost = c.lost(); !lost.empty()) said.push_back("lost edits: " + shown_dots(lost));
    return fmt::format("{}", fmt::join(said, "; "));
}

} // namespace

int recover(const std::string& path, const std::string& to, const common_options& o) {
    new_file file(to);
    std::vector<damage> found;
    auto node = read_all(path, found);
    const bool encrypted = is_encrypted(node);
    if (encrypted) node = opened(path, std::move(node), o.key_file, found);
    if (!encrypted && !o.key_file.empty() && found.empty())
        throw tool_error(fmt::format("{}: it is not encrypted", path));

    std::vector<rescued> all;
    std::optional<found_collection> members;
    for (auto& c : node.collections) {
        if (!c.name) {
            auto& lost = all.emplace_back();
            lost.name = fmt::format("#{}", c.number);
            lost.name_lost = lost.snapshot_lost = true;
            for (const auto& r : c.records) (r ? lost.records_lost : lost.gaps) += 1;
        } else if (*c.name == members_name) {
            members = std::move(c);
        } else {
            all.push_back(rescue(std::move(c), *o.types).take_result());
        }
    }
    const auto names = [&](bool lost) {
        return std::count_if(all.begin(), all.end(), [&](const auto& c) { return c.name_lost == lost; });
    };
    if (names(false) == 0 && !found.empty())
        throw tool_error(
            fmt::format("{}: nothing can be recovered ({}: {})", path, found.front().where, found.front().what));
    // A list that is lost with its name is one that has to be made anew.
    if (!members && !found.empty()) {
        members.emplace();
        members->snapshot_lost = true;
    }
    std::vector<rescued> written;
    for (const auto& c : all)
        if (!c.name_lost) written.push_back(c);
    bool complete = found.empty() && std::all_of(all.begin(), all.end(), [](const auto& c) { return c.complete(); });
    bool members_complete = true;
    if (members) {
        written.push_back(rescue_members(std::move(*members), all));
        members_complete = written.back().complete();
    }
    complete = complete && members_complete;
    file.write(node.id, written, o.new_key_file.empty() && encrypted ? o.key_file : o.new_key_file);

    if (o.json) {
        auto out = json_value::object();
        out.add("file", path);
        out.add("new", to);
        out.add("complete", complete);
        auto& collections = out.add("collections", json_value::array());
        for (const auto& c : all) collections.push(described(c));
        out.add("members_complete", members_complete);
        out.add("damage", to_json(std::span(found)));
        print_json(out);
        return complete ? good : bad;
    }
    std::string out;
    for (const auto& d : found) out += fmt::format("{}: {}\n", printable(d.where), printable(d.what));
    std::vector<std::vector<std::string>> rows{{"collection", "edits", "records", ""}};
    for (const auto& c : all)
        rows.push_back({shown_name(c.name), std::to_string(c.kept.count()), std::to_string(c.records.size()), told(c)});
    out += table(rows);
    if (!members_complete) out += "the list of members was damaged: all that have edits count as members again\n";
    out += fmt::format("{}: {}; who opens it takes a new id\n", printable(to), complete ? "complete" : "in part");
    print(out);
    return complete ? good : bad;
}

} // namespace joinery::tool
