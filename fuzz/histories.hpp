// SPDX-License-Identifier: Apache-2.0
#pragma once

// The types that are fuzzed, what can be done with each, and short histories of three replicas: the seeds of
// the corpus, and the states that fuzzed deltas meet.

#include <joinery/joinery.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace joinery::fuzz {

struct g_counters {
    using type = g_counter;
    static constexpr bool one_form = true; // every value has one encoding
    static constexpr unsigned steps = 3;
    static void edit(type& c, transaction& tx, unsigned step) { c.increment(tx, step * step); }
};

struct pn_counters {
    using type = pn_counter;
    static constexpr bool one_form = true;
    static constexpr unsigned steps = 4;
    static void edit(type& c, transaction& tx, unsigned step) {
        step % 2 ? c.decrement(tx, step) : c.increment(tx, 3u + step);
    }
};

struct lww_registers {
    using type = lww_register<std::string>;
    static constexpr bool one_form = true;
    static constexpr unsigned steps = 3;
    static void edit(type& r, transaction& tx, unsigned step) {
        step % 4 == 3 ? r.reset(tx) : r.set(tx, std::string(step, 'v'));
    }
};

struct mv_registers {
    using type = mv_register<std::uint64_t>;
    static constexpr bool one_form = true;
    static constexpr unsigned steps = 4;
    static void edit(type& r, transaction& tx, unsigned step) {
        step % 4 == 3 ? r.reset(tx) : r.set(tx, std::uint64_t{1} << (9 * step % 64));
    }
};

struct or_sets {
    using type = or_set<std::string>;
    static constexpr bool one_form = true;
    static constexpr unsigned steps = 5;
    static void edit(type& s, transaction& tx, unsigned step) {
        switch (step % 5) {
        case 0: s.add(tx, "a"); break;
        case 1:
            s.add(tx, "");
            s.add(tx, "a");
            break;
        case 2: s.remove(tx, "a"); break;
        case 3: s.add(tx, "a longer element"); break;
        default: s.add(tx, "c"); s.remove(tx, "");
        }
    }
};

struct set_maps {
    using type = or_map<std::string, or_set<std::uint32_t>>;
    static constexpr bool one_form = true;
    static constexpr unsigned steps = 5;
    static void edit(type& m, transaction& tx, unsigned step) {
        switch (step % 5) {
        case 0: m.at(tx, "x")->add(tx, 1); break;
        case 1:
            m.at(tx, "y")->add(tx, 70000);
            m.at(tx, "x")->add(tx, 2);
            break;
        case 2: m.at(tx, "x")->remove(tx, 1); break;
        case 3: m.erase(tx, "x"); break;
        default: m.at(tx, "y")->add(tx, 70000); m.at(tx, "")->add(tx, 0);
        }
    }
};

struct counter_maps {
    using type = or_map<std::string, pn_counter>;
    static constexpr bool one_form = true;
    static constexpr unsigned steps = 5;
    static void edit(type& m, transaction& tx, unsigned step) {
        switch (step % 5) {
        case 0: m.at(tx, "x")->increment(tx, 5); break;
        case 1:
            m.at(tx, "x")->increment(tx, 2);
            m.at(tx, "x")->decrement(tx, 1);
            break;
        case 2: m.erase(tx, "x"); break;
        case 3: m.at(tx, "y")->decrement(tx, 300); break;
        default: m.erase(tx, "y"); m.at(tx, "y")->increment(tx, 1);
        }
    }
};

struct texts {
    using type = rga_text;
    static constexpr bool one_form = true;
    static constexpr unsigned steps = 5;
    static void edit(type& t, transaction& tx, unsigned step) {
        switch (step % 5) {
        case 0: t.insert(tx, 0, "hello"); break;
        case 1: t.insert(tx, t.size() / 2, "\xc3\xa9\xe2\x82\xac"); break;
        case 2:
            if (t.size() > 0) t.erase(tx, t.size() / 3, 1);
            break;
        case 3: t.insert(tx, t.size(), " w"); break;
        default: t.erase(tx, 0, t.size());
        }
    }
};

struct lists {
    using type = rga_list<std::string>;
    static constexpr bool one_form = true;
    static constexpr unsigned steps = 7;
    static void edit(type& l, transaction& tx, unsigned step) {
        switch (step % 7) {
        case 0: l.insert(tx, 0, {"one", "two", ""}); break;
        case 1: l.insert(tx, l.size() / 2, "three"); break;
        case 2:
            if (!l.empty()) l.erase(tx, l.size() / 3);
            break;
        case 3: l.push_back(tx, "last"); break;
        case 4:
            if (!l.empty()) l.set(tx, l.size() / 2, "another");
            break;
        case 5:
            if (!l.empty()) l.move(tx, 0, l.size() - 1);
            break;
        default:
            if (l.empty()) break;
            l.set(tx, 0, "first");
            l.move(tx, l.size() - 1, 0);
        }
    }
};

struct address {
    lww_register<std::string> street;
    mv_register<std::optional<std::uint16_t>> zip;
};
JOINERY_RECORD(address, (1, street), (4, zip))

struct person {
    lww_register<std::string> name;
    g_counter visits;
    address home;
    or_map<std::uint8_t, address> others;
    or_map<std::string, or_map<std::string, pn_counter>> scores;
};
JOINERY_RECORD(person, (1, name), (2, visits), (3, home), (7, others), (300, scores))

struct records {
    using type = person;
    static constexpr bool one_form = false; // fields of later versions are passed on in another form
    static constexpr unsigned steps = 7;
    static void edit(type& p, transaction& tx, unsigned step) {
        switch (step % 7) {
        case 0:
            p.name.set(tx, "Ann");
            p.visits.increment(tx);
            break;
        case 1:
            p.home.street.set(tx, "Main");
            p.home.zip.set(tx, 99);
            break;
        case 2: p.others.at(tx, 1)->street.set(tx, "Side"); break;
        case 3: (*p.scores.at(tx, "chess")).at(tx, "won")->increment(tx, 2); break;
        case 4:
            p.others.erase(tx, 1);
            p.home.zip.set(tx, std::nullopt);
            break;
        case 5: p.scores.erase(tx, "chess"); break;
        default: p.others.at(tx, 200)->zip.set(tx, 5); p.home.street.reset(tx);
        }
    }
};

struct collections {
    g_set<std::string> grown;
    rw_set<std::string> guarded;
    two_phase_set<std::uint16_t> spent;
    lww_map<std::string, std::uint32_t> settings;
    lww_set<std::uint8_t> chosen;
    bag<std::string> counted;
    tree folders;
};
JOINERY_RECORD(collections, (1, grown), (2, guarded), (3, spent), (4, settings), (5, chosen), (6, counted),
               (7, folders))

/// Sets and maps other than or_set and or_map, and a tree, each as a field.
struct sets {
    using type = collections;
    static constexpr bool one_form = false;
    static constexpr unsigned steps = 7;
    static void edit(type& c, transaction& tx, unsigned step) {
        switch (step % 7) {
        case 0:
            c.grown.add(tx, "g");
            c.guarded.add(tx, "a");
            c.spent.add(tx, 300);
            break;
        case 1:
            c.guarded.remove(tx, "a");
            c.settings.set(tx, "k", 70000);
            c.folders.create(tx, c.folders.create(tx, tree::root()));
            break;
        case 2: c.counted.add(tx, "n", 5); break;
        case 3:
            c.spent.remove(tx, 300);
            c.chosen.add(tx, 7);
            c.settings.erase(tx, "k");
            if (const auto all = c.folders.children(tree::root()); all.size() > 1)
                c.folders.move(tx, all.front(), all.back());
            break;
        case 4:
            c.counted.remove(tx, "n", 2);
            c.counted.add(tx, "");
            break;
        case 5:
            c.chosen.remove(tx, 7);
            c.settings.set(tx, "", 0);
            if (const auto all = c.folders.children(tree::root()); !all.empty()) c.folders.remove(tx, all.back());
            break;
        default: c.guarded.add(tx, "a"); c.counted.remove_all(tx, "n");
        }
    }
};

struct switchboard {
    enable_wins_flag lamp;
    disable_wins_flag door;
    max_register<std::int32_t> high;
    or_map<std::string, disable_wins_flag> doors;
    or_map<std::string, min_register<std::string>> first;
    hyperloglog<4> visitors;
    ddsketch<100> latencies;
    bounded_counter stock;
};
JOINERY_RECORD(switchboard, (1, lamp), (2, door), (3, high), (4, doors), (5, first), (6, visitors), (7, latencies),
               (8, stock))

/// Flags, registers that merge, sketches, and a counter with a bound.
struct switches {
    using type = switchboard;
    static constexpr bool one_form = false;
    static constexpr unsigned steps = 5;
    static void edit(type& s, transaction& tx, unsigned step) {
        switch (step % 5) {
        case 0:
            s.lamp.enable(tx);
            s.door.disable(tx);
            s.stock.increment(tx, 5);
            break;
        case 1:
            s.high.merge(tx, static_cast<std::int32_t>(step) - 3);
            s.door.enable(tx);
            s.visitors.add(tx, step);
            s.stock.transfer(tx, replica_id{77}, std::min<std::uint64_t>(s.stock.available(tx), 2));
            break;
        case 2:
            s.latencies.add(tx, step * 3.5);
            s.lamp.disable(tx);
            s.doors.at(tx, "back")->enable(tx);
            break;
        case 3:
            s.first.at(tx, "x")->merge(tx, "middle");
            s.doors.at(tx, "back")->disable(tx);
            s.stock.decrement(tx, std::min<std::uint64_t>(s.stock.available(tx), 1));
            break;
        default: s.first.at(tx, "x")->merge(tx, "early"); s.doors.erase(tx, "back");
        }
    }
};

struct document {
    lww_register<std::string> title;
    rga_text body;
    or_map<std::string, rga_text> notes;
};
JOINERY_RECORD(document, (1, title), (2, body), (3, notes))

struct documents {
    using type = document;
    static constexpr bool one_form = false;
    static constexpr unsigned steps = 6;
    static void edit(type& d, transaction& tx, unsigned step) {
        switch (step % 6) {
        case 0:
            d.title.set(tx, "t");
            d.body.insert(tx, 0, "abc");
            break;
        case 1: d.notes.at(tx, "n")->insert(tx, 0, "xyz"); break;
        case 2: d.notes.at(tx, "n")->insert(tx, d.notes.at(tx, "n")->size(), "!"); break;
        case 3: d.notes.erase(tx, "n"); break;
        case 4:
            if (d.body.size() > 0) d.body.erase(tx, 0, 1);
            break;
        default: d.notes.at(tx, "n")->insert(tx, 0, "w"); d.body.insert(tx, d.body.size(), "z");
        }
    }
};

/// As JSON knows them, nothing declared: joinery::document.
struct dynamic_documents {
    using type = joinery::document;
    static constexpr bool one_form = false;
    static constexpr unsigned steps = 8;
    static void edit(type& d, transaction& tx, unsigned step) {
        try {
            step_of(d, tx, step);
        } catch (const std::logic_error&) { // of another kind is what is there
            d.erase(tx, {"x"});
        }
    }

private:
    static void step_of(type& d, transaction& tx, unsigned step) {
        using kind = type::kind;
        switch (step % 8) {
        case 0:
            d.set(tx, {"x", "y"}, "value");
            d.increment(tx, {"n"}, 5);
            break;
        case 1:
            d.insert(tx, {"l"}, d.size({"l"}), kind::map);
            d.insert(tx, {"l"}, 0, 2.5);
            break;
        case 2:
            if (d.size({"l"}) > 0) d.make_list(tx, {"l", 0});
            d.insert_text(tx, {"t"}, 0, "text\xc3\xa9");
            break;
        case 3: d.set(tx, {"x"}, step % 2 == 0 ? type::scalar(UINT64_MAX) : type::scalar(true)); break;
        case 4:
            if (d.size({"l"}) > 1) d.move(tx, {"l", 1}, 0);
            d.erase(tx, {"l", 0});
            d.increment(tx, {"n"}, -7);
            break;
        case 5:
            if (const auto* t = d.find_text({"t"}); t && t->size() > 1) d.erase_text(tx, {"t"}, 1, 1);
            d.set(tx, {"x", "z"}, nullptr);
            break;
        case 6: static_cast<void>(d.import_json(tx, {"j"}, R"({"a": [1, {"b": []}], "": -3})")); break;
        default:
            d.erase(tx, {"x"});
            if (d.size({"l"}) > 0) d.set(tx, {"l", 0}, "last");
        }
    }
};

/// Values that users put into registers and sets.
struct leaf {
    bool flag = false;
    std::int16_t number = 0;
    std::string name;
    friend auto operator<=>(const leaf&, const leaf&) = default;
    template <class Archive> void serialize(Archive& ar) { ar(CEREAL_NVP(flag), CEREAL_NVP(number), CEREAL_NVP(name)); }
};
struct branch {
    leaf value;
    std::vector<branch> children;
    friend bool operator==(const branch&, const branch&) = default;
    template <class Archive> void serialize(Archive& ar) { ar(CEREAL_NVP(value), CEREAL_NVP(children)); }
};
struct nothing {
    friend auto operator<=>(const nothing&, const nothing&) = default;
    template <class Archive> void serialize(Archive&) {}
};
/// Its load throws what is not of the library.
struct picky {
    std::uint8_t number = 0;
    friend bool operator==(const picky&, const picky&) = default;
    template <class Archive> void save(Archive& ar) const { ar(CEREAL_NVP(number)); }
    template <class Archive> void load(Archive& ar) {
        ar(CEREAL_NVP(number));
        if (number == 13) throw std::invalid_argument("thirteen");
    }
};
struct containers {
    std::map<std::string, std::vector<leaf>> by_name;
    std::set<std::pair<std::uint8_t, std::string>> pairs;
    std::unordered_map<std::string, std::vector<std::uint64_t>> numbers;
    std::unordered_set<replica_id> ids;
    std::vector<std::optional<std::variant<std::string, std::int32_t, nothing>>> choices;
    std::vector<nothing> empties;
    std::vector<bool> bits;
    std::array<bool, 3> three{};
    std::vector<std::byte> blob;
    std::vector<dot> dots;
    branch nested;
    std::vector<picky> lucky;
    friend bool operator==(const containers&, const containers&) = default;
    template <class Archive> void serialize(Archive& ar) {
        ar(CEREAL_NVP(by_name), CEREAL_NVP(pairs), CEREAL_NVP(numbers), CEREAL_NVP(ids), CEREAL_NVP(choices),
           CEREAL_NVP(empties), CEREAL_NVP(bits), CEREAL_NVP(three), CEREAL_NVP(blob), CEREAL_NVP(dots),
           CEREAL_NVP(nested), CEREAL_NVP(lucky));
    }
};

/// Three replicas that edit in turn and hear of each other now and then.
template <class Type> struct told {
    std::vector<delta<typename Type::type>> edits;
    std::vector<causal<typename Type::type>> states;
};

template <class Type> told<Type> history(unsigned edits) {
    using T = typename Type::type;
    std::uint64_t now = 1'700'000'000'000; // wall time stands still
    hybrid_clock clock([now] { return now; });
    std::vector<replica<T>> replicas;
    for (std::uint64_t id = 1; id <= 3; ++id) replicas.emplace_back(replica_id{id}, clock);
    told<Type> out;
    for (unsigned i = 0; i < edits; ++i) {
        auto& who = replicas[(i * 7 / 3) % 3];
        out.edits.push_back(who.edit([&](T& value, transaction& tx) { Type::edit(value, tx, i); }));
        if (i % 2 == 1) replicas[i % 3].join(out.edits[i - 1]);
        if (i % 4 == 3) replicas[(i + 1) % 3].join(who.state());
    }
    for (auto& r : replicas) out.states.push_back(r.state());
    return out;
}

} // namespace joinery::fuzz
