// SPDX-License-Identifier: Apache-2.0
#include "commands.hpp"

#include "sqlite_format.hpp"
#include "stored_items.hpp"

#include <joinery/frame.hpp>
#include <joinery/messages.hpp>
#include <joinery/storage.hpp>

#include <fmt/format.h>

#include <filesystem>

namespace joinery::tool {

namespace {

struct outcome {
    std::string name, why_not;
    std::size_t before = 0, after = 0;
};

// A state that is joined out of a snapshot and its log is what its leader would have, and store as a snapshot.
outcome compact_collection(storage& disk, const file_collection& c, const known_types& types) {
    outcome done{c.name, {}, c.snapshot.size() + c.log_bytes, c.snapshot.size() + c.log_bytes};
    if (c.name == members_name || c.records.empty()) return done;
    const auto state = read_contents(c, types);
    if (!state.found.empty())
        throw tool_error(fmt::format("{}: {}", state.found.front().where, state.found.front().what));
    if (!state.state) {
        done.why_not = "this program does not know its type";
        return done;
    }
    frame_writer snapshot;
    put_item(snapshot.body(), state.state->whole());
    if (state.held) put_mark(snapshot.body(), state.held);
    const auto frame = snapshot.close(frame_kind::snapshot, name_digest(c.name), c.fingerprint);
    disk.compact(disk.attach(c.name, c.fingerprint), frame);
    done.after = frame.size();
    return done;
}

} // namespace

int compact(const std::string& path, const common_options& o) {
    const auto file = read_opened(path, false, o.key_file);
    if (!file.found.empty())
        throw tool_error(fmt::format("{}: damaged ({}: {}); it is left as it is", path, file.found.front().where,
                                     file.found.front().what));
    if (file.owner)
        throw tool_error(fmt::format("{}: in use by another process; its leader compacts it by itself", path));
    // The next start of a leader has to see that this one's last edits may be lost.
    if (file.state == sqlite::unclean_relaxed)
        throw tool_error(fmt::format("{}: it was not closed cleanly, at durability relaxed; start and close its leader "
                                     "first",
                                     path));
    std::vector<outcome> all;
    const auto disk = behind(o.key_file, sqlite_storage(path, durability::full));
    disk->load();
    try {
        for (const auto& c : file.collections) all.push_back(compact_collection(*disk, c, *o.types));
    } catch (...) {
        disk->close();
        throw;
    }
    disk->close();

    const auto after = std::filesystem::file_size(path);
    if (o.json) {
        auto out = json_value::object();
        out.add("file", path);
        out.add("bytes_before", file.bytes + file.wal_bytes);
        out.add("bytes_after", after);
        auto& collections = out.add("collections", json_value::array());
        for (const auto& c : all) {
            if (c.name == members_name) continue;
            auto one = json_value::object();
            one.add("name", c.name);
            one.add("bytes_before", c.before);
            one.add("bytes_after", c.after);
            one.add("left", c.why_not.empty() ? json_value() : json_value(c.why_not));
            collections.push(std::move(one));
        }
        print_json(out);
        return good;
    }
    std::vector<std::vector<std::string>> rows{{"collection", "before", "after", ""}};
    for (const auto& c : all)
        if (c.name != members_name)
            rows.push_back({shown_name(c.name), shown_bytes(c.before), shown_bytes(c.after),
                            c.why_not.empty() ? "" : "left as it is: " + c.why_not});
    rows.push_back({"file", shown_bytes(file.bytes + file.wal_bytes), shown_bytes(after), ""});
    print(table(rows));
    return good;
}

} // namespace joinery::tool
