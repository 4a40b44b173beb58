// SPDX-License-Identifier: Apache-2.0
// What an engine finds in a storage whose frames are whole: it opens the collection, and finds the same when it opens
// it once more; or it says that it cannot. A byte before the body chooses what it is: of a snapshot, of a record, of a
// record after a snapshot, or of the list of members.
#include <joinery/engine.hpp>
#include <joinery/frame.hpp>
#include <joinery/memory_storage.hpp>
#include <joinery/or_set.hpp>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

using namespace joinery;

namespace {

using set = or_set<std::string>;
constexpr std::string_view members = "joinery.members";
constexpr std::uint64_t members_fingerprint = 0x6a6f'696e'7331'0001u;
constexpr replica_id who{100};

struct nobody final : engine_output {
    void broadcast(std::span<const std::byte>) override {}
    bool send(link_id, std::span<const std::byte>) override { return true; }
    void notify(const event&) override {}
};

enum class place : std::uint8_t { snapshot, record, record_after_snapshot, list };

memory_disk disk_with(place at, frame_writer& body) {
    memory_disk disk;
    const auto open = disk.open();
    open->load();
    open->set_id(who);
    const bool list = at == place::list;
    const auto name = list ? members : "set";
    const auto type = list ? members_fingerprint : fingerprint<set>();
    const auto number = open->attach(name, type);
    if (at == place::record_after_snapshot) {
        replica<set> r{who};
        r.edit([](auto& s, auto& tx) { s.add(tx, "kept"); });
        const auto whole = encode(r.state().whole());
        frame_writer snapshot;
        compact_output_archive ar(snapshot.body());
        ar.varint(whole.size());
        ar.raw(whole.data(), whole.size());
        open->compact(number, snapshot.close(frame_kind::snapshot, name_digest(name), type));
    }
    if (at == place::snapshot) {
        open->compact(number, body.close(frame_kind::snapshot, name_digest(name), type));
    } else {
        open->append(number, body.close(frame_kind::record, name_digest(name), type));
    }
    open->close();
    return disk;
}

// The digest of what is there, once edits that were held may go on.
std::uint64_t opened(memory_disk& disk) {
    const auto storage = disk.open();
    nobody io;
    std::uint64_t next = 200;
    engine_options options;
    options.random = [&] { return next++; };
    replicated<set> state([] { return std::uint64_t{1'000'000}; });
    engine e(options, *storage, io);
    e.tick(engine_time(1000));
    const auto number = e.attach("set", state);
    e.flush();
    if (e.version(number) != state.version()) std::abort();
    const auto digest = state.digest();
    e.close();
    return digest;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    frame_writer body;
    for (std::size_t i = 1; i < size; ++i) body.body().push_back(static_cast<std::byte>(data[i]));
    auto disk = disk_with(static_cast<place>(data[0] % 4), body);
    std::uint64_t first = 0;
    try {
        first = opened(disk);
    } catch (const storage_error&) {
        return 0;
    }
    if (opened(disk) != first) std::abort(); // it can be opened now, so it can be opened again
    return 0;
}
