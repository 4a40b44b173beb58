// SPDX-License-Identifier: Apache-2.0
// A node whose storage is SQLite on a disk that loses what was not synced, and whose power fails in any step: what it
// had acknowledged is there, and no dot is issued twice.
#include "engine_router.hpp"
#include "power_cut_vfs.hpp"
#include "sqlite_files.hpp"

#include <set>

using namespace joinery;
using namespace std::chrono_literals;
using storage_test::power_cut_vfs;

namespace {

// Node 0 is the one whose power fails; when that is depends on the disk.
struct life {
    router r;
    std::set<std::string> acknowledged, removed;
    int cuts = 0;

    life(const std::string& file, durability level) {
        auto &a = r.add("a", level), &b = r.add("b");
        r.add("c");
        a.open = [file, level] { return sqlite_storage(file, level); };
        for (auto* n : {&a, &b}) {
            n->options.limits.log_minimum = 600; // compacts often
            n->options.timings.prune = 300ms;
        }
    }
    /// Runs something; if the power fails in it, the node is dead.
    template <class F> bool survives(F&& f) {
        try {
            f();
            return true;
        } catch (const storage_error&) {
            ++cuts;
            r.nodes[0]->crash();
            return false;
        }
    }
    bool alive() const { return r.nodes[0]->engine.has_value(); }
    void start() {
        survives([&] { r.nodes[0]->start(); });
        for (std::size_t n : {1, 2})
            if (!r.nodes[n]->engine) r.nodes[n]->start();
        link();
    }
    void link() {
        for (std::size_t x = 0; x < 3; ++x)
            for (std::size_t y = x + 1; y < 3; ++y)
                if (r.nodes[x]->engine && r.nodes[y]->engine && !r.linked(x, y)) survives([&] { r.link(x, y); });
    }
    void run(engine_time t) {
        survives([&] { r.run(t); });
        if (!alive()) survives([&] { r.run(t); }); // the others go on
    }
    void add(std::size_t who, const std::string& element) {
        if (r.nodes[who]->engine && survives([&] { r.nodes[who]->add(element); })) acknowledged.insert(element);
    }
    void remove(std::size_t who, const std::string& element) {
        if (!r.nodes[who]->engine) return;
        removed.insert(element); // whether or not it was acknowledged
        survives([&] { r.nodes[who]->remove(element); });
    }
    void live() {
        start();
        add(0, "before anybody has answered");
        run(1s);
        for (int i = 0; i < 12; ++i) {
            for (std::size_t who : {0, 1, 2}) add(who, std::to_string(who) + " adds " + std::to_string(i));
            if (i % 3 == 2) remove(0, "1 adds " + std::to_string(i - 1));
            if (i % 4 == 3) remove(2, "0 adds " + std::to_string(i - 1));
            run(i % 3 == 0 ? 1ms : 150ms);
        }
        if (alive()) survives([&] { r.nodes[0]->engine->take_new_id(); });
        add(0, "under another id");
        run(500ms);
    }
    void check() {
        run(2s);
        link();
        r.run(10s);
        check_converged(r);
        for (const auto& e : acknowledged) {
            CAPTURE(e);
            if (!removed.contains(e)) CHECK(r.nodes[2]->has(e));
        }
        for (const auto& n : r.nodes) {
            CHECK(n->engine->writable());
            CHECK_FALSE(n->heard_of(event_kind::divergence));
            CHECK_FALSE(n->heard_of(event_kind::lost_edits));
        }
        r.nodes[0]->add("and goes on");
        r.run(1s);
        for (const auto& n : r.nodes) CHECK(n->has("and goes on"));
        const auto digest = r.nodes[0]->set->get().state().digest();
        for (const auto& n : r.nodes) CHECK(n->set->get().state().digest() == digest);
    }
};

} // namespace

TEST_CASE("engine: a power cut in any step of SQLite's files loses nothing that was acknowledged") {
    std::uint64_t changes = 0;
    {
        storage_test::scratch_folder folder;
        power_cut_vfs disk(folder.path());
        life l(folder / "node", durability::full);
        l.live();
        REQUIRE(l.cuts == 0);
        changes = disk.changes();
        l.check();
    }
    CHECK(changes > 150);
    int cuts = 0;
    for (std::uint64_t at = 1; at <= changes; ++at) {
        const auto what = at % 3 == 0   ? power_cut_vfs::survival::all
                          : at % 3 == 1 ? power_cut_vfs::survival::none
                                        : power_cut_vfs::survival::random;
        CAPTURE(at);
        storage_test::scratch_folder folder;
        power_cut_vfs disk(folder.path());
        life l(folder / "node", durability::full);
        disk.cut_at(at);
        l.live();
        if (!disk.is_cut()) continue;
        if (l.alive()) l.r.nodes[0]->crash(); // it had nothing more to write
        cuts += l.cuts;
        disk.restore(what, at);
        l.start();
        l.check();
    }
    CHECK(cuts > 150);
}
