// SPDX-License-Identifier: Apache-2.0
// States that have seen the same and are not the same: noticed, and repaired with few bytes.
#include "engine_router.hpp"

#include <joinery/digest.hpp>
#include <joinery/g_counter.hpp>
#include <joinery/lww_register.hpp>
#include <joinery/or_map.hpp>
#include <joinery/record.hpp>
#include <joinery/rga_text.hpp>

#include <mutex>

using namespace joinery;
using namespace std::chrono_literals;

namespace audited {

struct item {
    lww_register<std::string> name;
    g_counter sold;
};
JOINERY_RECORD(item, (1, name), (2, sold))

struct diary {
    rga_text text;
    or_set<std::string> tags;
};
JOINERY_RECORD(diary, (1, text), (2, tags))

} // namespace audited

namespace {

using shop = or_map<std::string, audited::item>;

/// What no program can do with its state, and memory that goes bad can.
template <class T> void lose(replicated<T>& s, const dot_range& dots) {
    std::lock_guard lock(s.mutex());
    const removal_log none;
    const causal_context covered;
    join_scope scope{s.context(), covered, none};
    crdt_traits<T>::kill(const_cast<T&>(*s), dots, scope);
}
void tamper(replicated<set_of_strings>& s, dot d, const std::string& element) {
    lose(s, d);
    std::lock_guard lock(s.mutex());
    const removal_log none;
    const causal_context seen, covered{d};
    join_scope scope{seen, covered, none};
    set_of_strings::fragment f;
    f.push_back(d, element);
    const_cast<set_of_strings&>(*s).join(f, scope);
}

/// Makes the character with this dot and Lamport number another one, which lives.
void alter(replicated<audited::diary>& s, dot d, std::uint64_t lamport, char to) {
    std::lock_guard lock(s.mutex());
    const removal_log none;
    const causal_context seen, covered{d};
    join_scope scope{seen, covered, none};
    scope.repairing = true;
    text_fragment f;
    f.runs.push_back({d, {}, 1, lamport, false});
    f.text = to;
    const_cast<rga_text&>(s->text).join(f, scope);
}

void audit_often(router& r) {
    for (auto& n : r.nodes) n->options.timings.audit = 1s;
}

std::size_t bytes_since(const router& r, std::size_t first) {
    std::size_t n = 0;
    for (; first < r.seen.size(); ++first) n += r.seen[first].frame.size();
    return n;
}

} // namespace

TEST_CASE("engine: what differs is found and repaired, with bytes in proportion to it") {
    for (const int differing : {1, 30}) {
        CAPTURE(differing);
        router r;
        auto &a = r.add("a"), &b = r.add("b");
        r.start_all();
        constexpr int count = 20'000;
        fill(a, count);
        r.run(2s);
        REQUIRE(b.version() == a.version());
        audit_often(r);
        for (auto* n : {&a, &b}) { // with another interval
            n->crash();
            n->start();
        }
        r.link_all();
        r.run(500ms);
        for (int i = 0; i < differing; ++i) lose(*b.set, dot{a.engine->id(), 1 + static_cast<std::uint64_t>(i) * 611});
        REQUIRE((*b.set)->size() == static_cast<std::size_t>(count - differing));

        const auto before = r.seen.size();
        r.run(5s);
        CHECK(a.heard_of(event_kind::divergence));
        CHECK(b.count(event_kind::repaired) == 1);
        CHECK_FALSE(a.heard_of(event_kind::repaired)); // it had all that b had
        CHECK(b.counters().dots_repaired == static_cast<std::uint64_t>(differing));
        CHECK((*b.set)->size() == count);
        check_converged(r);
        CHECK(a.set->get().state().digest() == b.set->get().state().digest());

        const auto idle = r.seen.size();
        r.run(5s);
        const auto repair = bytes_since(r, before) - 2 * bytes_since(r, idle); // both with their beacons
        MESSAGE(differing, " of ", count, " differ: about ", repair, " bytes");
        CHECK(repair < static_cast<std::size_t>(2000 + 700 * differing));
        CHECK(a.count(event_kind::divergence) <= 2);
    }
}

TEST_CASE("engine: of what differs everything that lives is kept, on both sides, whatever is removed stays removed") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    audit_often(r);
    r.start_all();
    fill(a, 100);
    r.run(1s);
    const auto dot_of = [&](std::uint64_t n) { return dot{a.engine->id(), n}; };
    lose(*a.set, dot_of(10));
    lose(*b.set, dot_of(20));
    tamper(*a.set, dot_of(30), "of a");
    tamper(*b.set, dot_of(40), "of b");
    r.run(4s);
    check_converged(r);
    CHECK(a.has("a 9"));
    CHECK(a.has("a 19"));
    CHECK((a.has("of a") != a.has("a 29"))); // one of the two, the same everywhere
    CHECK((a.has("of b") != a.has("a 39")));
    CHECK((*a.set)->size() == 100);

    a.remove("a 50");
    r.run(500ms);
    REQUIRE(!b.has("a 50"));
    tamper(*b.set, dot_of(51), "a 50"); // it comes back, though the record of its removal is known
    r.run(4s);
    CHECK_FALSE(b.has("a 50"));
    check_converged(r);
}

TEST_CASE("engine: what was written between the counts of a removed counter is not taken for removed") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    audit_often(r);
    for (auto& n : r.nodes) n->start();
    replicated<shop> shops[2];
    for (std::size_t i = 0; i < 2; ++i) REQUIRE(r.nodes[i]->engine->attach("shop", shops[i]) == 1);
    r.link_all();
    r.run(2s);
    edit(r, shops[0], [](auto& s, auto& tx) { s.at(tx, "removed")->sold.increment(tx, 1); });
    edit(r, shops[0], [](auto& s, auto& tx) { s.at(tx, "kept")->name.set(tx, "a name"); });
    edit(r, shops[0], [](auto& s, auto& tx) { s.at(tx, "removed")->sold.increment(tx, 2); });
    edit(r, shops[0], [](auto& s, auto& tx) { s.erase(tx, "removed"); });
    r.run(2s);
    const auto intact = shops[0].get().state();
    lose(shops[1], dot_range{a.engine->id(), 2, 2});
    REQUIRE_FALSE(shops[1].get().state() == intact);
    r.run(4s);
    CHECK(b.heard_of(event_kind::repaired));
    CHECK_FALSE(a.heard_of(event_kind::repaired));
    for (const auto& s : shops) CHECK(s.get().state() == intact);
}

TEST_CASE("engine: a repair is stored") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    audit_often(r);
    r.start_all();
    fill(a, 10);
    r.run(1s);
    lose(*b.set, dot{a.engine->id(), 5});
    b.add("after"); // logged on top of it
    r.run(4s);
    REQUIRE(b.heard_of(event_kind::repaired));
    b.crash();
    b.start();
    CHECK(b.has("a 4"));
    CHECK(b.has("after"));
    CHECK((*b.set)->size() == 11);
}

TEST_CASE("engine: a repair goes round a ring, while edits are made") {
    router r;
    for (const char* name : {"a", "b", "c", "d", "e"}) r.add(name);
    audit_often(r);
    for (auto& n : r.nodes) n->start();
    for (std::size_t i = 0; i < 5; ++i) r.link(i, (i + 1) % 5);
    r.run(1s);
    for (auto& n : r.nodes) fill(*n, 50);
    r.run(2s);
    check_converged(r);
    for (std::size_t i = 0; i < 5; ++i) lose(*r.nodes[i]->set, dot{r.nodes[(i + 2) % 5]->engine->id(), 7 + i});
    tamper(*r.nodes[3]->set, {r.nodes[1]->engine->id(), 30}, "bad");
    for (int i = 0; i < 100; ++i) {
        r.nodes[static_cast<std::size_t>(i) % 5]->add("while " + std::to_string(i));
        r.run(10ms);
    }
    r.run(20s);
    check_converged(r);
    const auto digest = r.nodes[0]->set->get().state().digest();
    for (auto& n : r.nodes) {
        CHECK(n->set->get().state().digest() == digest);
        CHECK((*n->set)->size() == 5 * 50 + 100);
    }
}

TEST_CASE("engine: maps of records and of texts are repaired by their entries") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    audit_often(r);
    for (auto& n : r.nodes) n->start();
    replicated<shop> shops[2];
    replicated<or_map<std::string, rga_text>> notes[2];
    for (std::size_t i = 0; i < 2; ++i) {
        REQUIRE(r.nodes[i]->engine->attach("shop", shops[i]) == 1);
        REQUIRE(r.nodes[i]->engine->attach("notes", notes[i]) == 2);
    }
    r.link_all();
    r.run(2s);
    for (int i = 0; i < 50; ++i)
        edit(r, shops[static_cast<std::size_t>(i) % 2], [&](auto& s, auto& tx) {
            auto open = s.at(tx, "item " + std::to_string(i % 20));
            open->name.set(tx, "name " + std::to_string(i));
            open->sold.increment(tx, i);
        });
    for (std::size_t i = 0; i < 2; ++i)
        edit(r, notes[i], [&](auto& n, auto& tx) { n.at(tx, "a note")->insert(tx, 0, "some text of this note"); });
    r.run(2s);
    REQUIRE(shops[0].get().state() == shops[1].get().state());
    REQUIRE(notes[0].get().state() == notes[1].get().state());

    const auto intact = shops[0].get().state();
    const auto intact_notes = notes[0].get().state();
    lose(shops[0], dot_range{a.engine->id(), 31, 40});
    lose(shops[1], dot_range{b.engine->id(), 45, 50});
    REQUIRE_FALSE(shops[0].get().state() == intact);
    lose(notes[1], dot_range{a.engine->id(), 3, 5});
    lose(notes[0], dot_range{b.engine->id(), 4, 9});
    REQUIRE_FALSE(notes[0].get().state() == notes[1].get().state());
    r.run(8s);
    CHECK(shops[0].get().state() == intact);
    CHECK(shops[1].get().state() == intact);
    for (const auto& n : notes) {
        CHECK(n.get().state() == intact_notes);
        CHECK(n.get().state().digest() == intact_notes.digest());
    }
    CHECK((a.heard_of(event_kind::repaired) && b.heard_of(event_kind::repaired)));
    edit(r, notes[0], [&](auto& n, auto& tx) { n.at(tx, "a note")->insert(tx, 4, " more"); });
    edit(r, notes[1], [&](auto& n, auto& tx) { n.at(tx, "a note")->insert(tx, 9, " and more"); });
    r.run(2s);
    CHECK(notes[0].get().state() == notes[1].get().state());
}

TEST_CASE("engine: a text is repaired where it differs; what was deleted stays deleted") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    audit_often(r);
    for (auto& n : r.nodes) n->start();
    replicated<audited::diary> diaries[2];
    for (std::size_t i = 0; i < 2; ++i) REQUIRE(r.nodes[i]->engine->attach("diary", diaries[i]) == 1);
    r.link_all();
    r.run(2s);
    const auto write = [&](std::size_t i, auto&& f) {
        const auto dots = edit(r, diaries[i], f);
        r.run(10ms);
        return *dots;
    };
    const auto typed = write(0, [](auto& d, auto& tx) { d.text.insert(tx, 0, std::string(5000, 'x') + "kept"); });
    write(1, [](auto& d, auto& tx) { d.tags.add(tx, "of b"); });
    write(1, [](auto& d, auto& tx) { d.text.insert(tx, 100, "between"); });
    const auto erased = write(1, [](auto& d, auto& tx) { d.text.erase(tx, 200, 3); });
    const auto tagged = write(0, [](auto& d, auto& tx) { d.tags.add(tx, "of a"); });
    write(0, [](auto& d, auto& tx) { d.text.insert(tx, 4000, "\xc3\xa4\xf0\x9f\x98\x80"); });
    REQUIRE(erased.size() == 3);
    const auto settle = [&] {
        r.run(90s); // b's deletion is stable
        return diaries[0].get().state();
    };
    const auto intact = settle();
    REQUIRE(diaries[1].get().state() == intact);

    // Characters and an entry that are gone for no reason, on either side; and one that is another.
    lose(diaries[0], {typed.replica, 1000, 1002});
    lose(diaries[0], tagged);
    lose(diaries[1], {typed.replica, 3000, 3000});
    alter(diaries[1], dot{typed.replica, 50}, 50, 'y');
    const auto before = r.seen.size();
    r.run(8s);
    CHECK(diaries[0].get().state() == diaries[1].get().state());
    CHECK(diaries[0].get().state().digest() == diaries[1].get().state().digest());
    const auto text = diaries[0]->text.str();
    CHECK((diaries[0].get().state() == intact || text.find('y') == 49));
    CHECK(text.size() == intact->text.str().size());
    CHECK(diaries[0]->tags.size() == 2);
    CHECK(bytes_since(r, before) < 10'000); // the text alone has 5000
    CHECK((a.heard_of(event_kind::repaired) && b.heard_of(event_kind::repaired)));

    // A deletion that one side has missed.
    const auto gone = write(1, [](auto& d, auto& tx) { d.text.erase(tx, 0, 1); });
    REQUIRE(gone.size() == 1);
    const auto shorter = diaries[1].get().state();
    alter(diaries[0], dot{typed.replica, 1}, 1, 'x');
    REQUIRE(diaries[0]->text.size() == shorter->text.size() + 1);
    r.run(8s);
    CHECK(diaries[0].get().state() == shorter);
    CHECK(diaries[1].get().state() == shorter);
}

TEST_CASE("engine: a repair that is cut off, or not answered, begins again with a later audit") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    audit_often(r);
    r.start_all();
    fill(a, 3000);
    r.run(1s);
    for (std::uint64_t n = 1; n < 3000; n += 400) lose(*b.set, dot{a.engine->id(), n});
    int lost = 0;
    r.lose = [&](const router::envelope&, const frame_content& f) {
        return (f.has(is_digests) || f.has(is_comparison) || f.has(is_chunk)) && ++lost % 2 == 1 && lost < 20;
    };
    r.run(40s);
    CHECK(lost > 2);
    check_converged(r);
    CHECK((*b.set)->size() == 3000);
}

TEST_CASE("engine: comparisons that ask for too much, or are of another version, get no digests") {
    router r;
    auto &a = r.add("a"), &b = r.add("b");
    r.start_all();
    fill(a, 100);
    r.run(1s);
    const auto channel = channel_of(name_digest("set"), fingerprint<set_of_strings>());
    const auto ask = [&](comparison m) {
        message_batch batch;
        batch.add(m);
        r.seen.clear();
        b.engine->received(0, batch.close(frame_kind::direct));
        b.engine->flush();
        REQUIRE(r.count(is_digests) == 1);
        digests answer;
        for (const auto& e : r.seen) {
            const auto opened = open_frame(e.frame);
            message_reader reader(opened->body);
            message x;
            for (auto more = reader.next(x); more && *more; more = reader.next(x))
                if (const auto* d = std::get_if<digests>(&x)) answer = *d;
        }
        CHECK(answer.request == m.request);
        return answer.values;
    };
    const auto version = digest(encode(b.version()));
    const auto all = causal_context{{a.engine->id(), 1, 100}};
    CHECK(ask({channel, 1, version, 16, all}).size() == 7);
    CHECK(ask({channel, 2, version, 1, all}).size() == 100);
    CHECK(ask({channel, 3, version + 1, 16, all}).empty());
    CHECK(ask({channel, 4, version, std::uint64_t{1} << 60, {{a.engine->id(), 1, 1'000'000}}}).empty());
    CHECK(ask({{7}, 5, version, 16, all}).empty());
    const auto beyond = ask({channel, 6, version, 1, {{replica_id{99}, 1, 10}}}); // of nobody
    CHECK(beyond == std::vector<std::uint64_t>(10, 0));
}
