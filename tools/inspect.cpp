// SPDX-License-Identifier: Apache-2.0
#include "commands.hpp"

#include "sqlite_format.hpp"

#include <fmt/format.h>

namespace joinery::tool {

namespace {

std::string state_of(const stored_file& f) {
    if (f.owner) return "in use";
    switch (f.state) {
    case 0: return "clean";
    case sqlite::unclean_relaxed: return "unclean (relaxed)";
    case sqlite::unclean_full: return "unclean (full)";
    case sqlite::copied: return "a backup";
    default: return "unknown";
    }
}

std::string explained(const stored_file& f) {
    if (f.owner && *f.owner > 0)
        return fmt::format("in use by process {}; this is what it has stored by now", *f.owner);
    if (f.owner) return "in use by another process; this is what it has stored by now";
    if (f.state == 0) return "closed cleanly";
    if (f.state == sqlite::unclean_relaxed)
        return "not closed cleanly, at durability relaxed: its leader takes a new id";
    if (f.state == sqlite::copied) return "a backup: its leader takes a new id at the next start";
    if (f.state == sqlite::unclean_full && f.wal_bytes == 0)
        return "not closed cleanly, and without its write-ahead log: edits may be lost";
    if (f.state == sqlite::unclean_full) return "not closed cleanly, at durability full: nothing is lost";
    return fmt::format("unknown ({})", f.state);
}

json_value described(const contents& c, const member_list& members) {
    auto all = json_value::object();
    const auto& from = *c.from;
    all.add("name", from.name);
    all.add("fingerprint", hex_number(from.fingerprint));
    all.add("type", c.type_name.empty() ? json_value() : json_value(c.type_name));
    all.add("readable", c.type != nullptr);
    all.add("snapshot_bytes", from.snapshot.size());
    all.add("log_bytes", from.log_bytes);
    all.add("records", from.records.size());
    all.add("deltas", c.deltas);
    all.add("edits", c.context.count());
    const auto version = c.context.version();
    all.add("version", to_json(version));
    all.add("ahead", to_json(c.context.minus(version)));
    all.add("horizon", to_json(c.horizon));
    all.add("unpublished_after", c.held ? json_value(c.held->seq) : json_value());
    const auto there = members.of(from);
    all.add("members", to_json(std::span(there)));
    return all;
}

struct report {
    stored_file file;
    std::vector<contents> collections;
    member_list members;
    std::vector<damage> found;
};

report read(const std::string& path, bool thorough, const common_options& o) {
    report r{read_opened(path, thorough, o.key_file, true), {}, {}, {}};
    r.members = read_members(r.file);
    r.found = r.file.found;
    r.found.insert(r.found.end(), r.members.found.begin(), r.members.found.end());
    for (const auto& c : r.file.collections) {
        if (c.name == members_name) continue;
        r.collections.push_back(read_contents(c, *o.types));
        const auto& more = r.collections.back().found;
        r.found.insert(r.found.end(), more.begin(), more.end());
    }
    return r;
}

std::string lines(const std::vector<damage>& found) {
    std::string out;
    for (const auto& d : found) out += fmt::format("{}: {}\n", printable(d.where), printable(d.what));
    return out;
}

} // namespace

int inspect(const std::string& path, const common_options& o) {
    const auto r = read(path, false, o);
    const int code = r.found.empty() ? good : bad;
    if (o.json) {
        auto all = json_value::object();
        all.add("file", path);
        all.add("format", r.file.format);
        all.add("id", r.file.id ? json_value(to_string(*r.file.id)) : json_value());
        all.add("state", state_of(r.file));
        all.add("owner", r.file.owner ? json_value(*r.file.owner) : json_value());
        all.add("encrypted", r.file.encrypted);
        all.add("bytes", r.file.bytes);
        all.add("wal_bytes", r.file.wal_bytes);
        auto& collections = all.add("collections", json_value::array());
        for (const auto& c : r.collections) collections.push(described(c, r.members));
        const std::vector<replica_id> gone(r.members.gone.begin(), r.members.gone.end());
        all.add("gone", to_json(std::span(gone)));
        all.add("damage", to_json(std::span(r.found)));
        print_json(all);
        return code;
    }
    std::vector<std::vector<std::string>> facts{
        {"file", printable(path)},
        {"format", std::to_string(r.file.format)},
        {"node", r.file.id ? to_string(*r.file.id) : "has no id yet"},
        {"state", explained(r.file)},
        {"encrypted", r.file.encrypted ? o.key_file.empty() ? "yes; --key-file shows what is in it" : "yes" : "no"},
        {"size", shown_bytes(r.file.bytes) +
                     (r.file.wal_bytes ? ", and " + shown_bytes(r.file.wal_bytes) + " of write-ahead log" : "")},
    };
    auto out = table(facts);
    std::vector<std::vector<std::string>> rows{
        {"collection", "edits", "replicas", "snapshot", "log", "records", "members"}};
    for (const auto& c : r.collections)
        rows.push_back({shown_name(c.from->name), std::to_string(c.context.count()),
                        std::to_string(c.context.version().size()), shown_bytes(c.from->snapshot.size()),
                        shown_bytes(c.from->log_bytes), std::to_string(c.from->records.size()),
                        std::to_string(r.members.of(*c.from).size())});
    if (!r.collections.empty())
        out += '\n' + table(rows);
    else if (!r.file.encrypted || !o.key_file.empty())
        out += "\nno collections\n";
    for (const auto& c : r.collections) {
        out += fmt::format("\n{}: {}, fingerprint {}\n", shown_name(c.from->name),
                           c.type_name.empty() ? "unknown type" : c.type_name, hex_number(c.from->fingerprint));
        std::vector<std::vector<std::string>> more;
        const auto version = c.context.version();
        const auto there = r.members.of(*c.from);
        const auto row = [&](replica_id who, std::uint64_t seq, bool member) {
            const char* what = who == r.file.id ? (member ? "this node, a member" : "this node")
                               : member         ? "member"
                                                : "";
            return std::vector<std::string>{"  " + to_string(who), counted(seq, "edit"), what};
        };
        for (const auto& [who, seq] : version) {
            const bool member = std::find(there.begin(), there.end(), who) != there.end();
            more.push_back(row(who, seq, member));
        }
        for (const auto who : there)
            if (version[who] == 0) more.push_back(row(who, 0, true));
        out += table(more);
        if (const auto ahead = c.context.minus(version); !ahead.empty()) out += "  ahead: " + shown_dots(ahead) + '\n';
        if (c.held) out += fmt::format("  own edits after {} are not published yet\n", c.held->seq);
    }
    if (!r.found.empty()) out += "\ndamaged (`joinery verify` looks closer):\n" + lines(r.found);
    print(out);
    return code;
}

int verify(const std::string& path, const common_options& o) {
    const auto r = read(path, true, o);
    const bool sound = r.found.empty();
    if (o.json) {
        auto all = json_value::object();
        all.add("file", path);
        all.add("sound", sound);
        all.add("state", state_of(r.file));
        all.add("encrypted", r.file.encrypted);
        auto& collections = all.add("collections", json_value::array());
        for (const auto& c : r.collections) {
            auto one = json_value::object();
            one.add("name", c.from->name);
            one.add("type", c.type_name.empty() ? json_value() : json_value(c.type_name));
            one.add("checked", c.type ? "values" : "structure");
            one.add("sound", c.found.empty());
            collections.push(std::move(one));
        }
        all.add("damage", to_json(std::span(r.found)));
        print_json(all);
        return sound ? good : bad;
    }
    std::string out;
    if (r.file.owner || r.file.state != 0) out += explained(r.file) + '\n';
    for (const auto& c : r.collections)
        if (!c.type)
            out += fmt::format("'{}' is of a type that this program does not know{}: its values were not decoded\n",
                               printable(c.from->name), c.type_name.empty() ? "" : " (" + c.type_name + ")");
    if (r.file.encrypted && o.key_file.empty())
        out += "it is encrypted: without its key only the checksums of the file were compared\n";
    const bool seen = !r.file.encrypted || !o.key_file.empty();
    out += sound ? fmt::format("{}: sound{}\n", printable(path),
                               seen ? "; " + counted(r.collections.size(), "collection") : "")
                 : fmt::format("{}: damaged\n", printable(path)) + lines(r.found);
    print(out);
    return sound ? good : bad;
}

} // namespace joinery::tool
