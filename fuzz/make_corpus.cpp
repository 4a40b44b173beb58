// SPDX-License-Identifier: Apache-2.0
// Writes the seeds of the corpus that replicas write: make_corpus FOLDER. What fuzzing found beside them
// (crash_*) stays as it is.

#include "../sync/answers.hpp"
#include "../sync/stored_items.hpp"
#include "body.hpp"

#include <joinery/claims.hpp>
#include <joinery/messages.hpp>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

namespace joinery::fuzz {
namespace {

using bytes = std::vector<std::byte>;

class folder {
public:
    folder(const std::filesystem::path& corpus, const std::string& target) : path_(corpus / target) {
        std::filesystem::create_directories(path_);
    }
    void write(const std::string& name, const bytes& content) const {
        std::ofstream out(path_ / name, std::ios::binary);
        out.write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
        if (!out) throw std::runtime_error("cannot write " + (path_ / name).string());
    }

private:
    std::filesystem::path path_;
};

// A person (histories.hpp) as earlier and later versions of a program know it.
struct earlier_address {
    lww_register<std::string> street;
};
JOINERY_RECORD(earlier_address, (1, street))
struct earlier_person {
    lww_register<std::string> name;
    or_map<std::uint8_t, earlier_address> others;
};
JOINERY_RECORD(earlier_person, (1, name), (7, others))
struct later_address {
    lww_register<std::string> street;
    mv_register<std::optional<std::uint16_t>> zip;
    or_set<std::string> tags;
};
JOINERY_RECORD(later_address, (1, street), (4, zip), (9, tags))
struct later_person {
    lww_register<std::string> name;
    g_counter visits;
    later_address home;
    or_map<std::uint8_t, later_address> others;
    or_map<std::string, or_map<std::string, pn_counter>> scores;
    rga_text notes;
};
JOINERY_RECORD(later_person, (1, name), (2, visits), (3, home), (7, others), (300, scores), (301, notes))

bytes marked(std::uint8_t mode, const bytes& content) {
    bytes out{std::byte{mode}};
    out.insert(out.end(), content.begin(), content.end());
    return out;
}

// Several encodings, each after its size.
bytes sequence(const std::vector<bytes>& parts) {
    bytes out;
    for (const auto& p : parts) {
        out.push_back(static_cast<std::byte>(p.size() & 0xff));
        out.push_back(static_cast<std::byte>(p.size() >> 8));
        out.insert(out.end(), p.begin(), p.end());
    }
    return out;
}

template <class Type> void write_histories(const std::filesystem::path& corpus, const std::string& target) {
    using T = typename Type::type;
    folder to(corpus, target);
    auto told = history<Type>(12);
    std::vector<bytes> edits;
    for (const auto& d : told.edits) {
        edits.push_back(encode(d));
        to.write("edit_" + std::to_string(edits.size()), marked(0, edits.back()));
    }
    to.write("in_order", marked(2, sequence({edits.begin(), edits.begin() + 8})));
    to.write("backwards", marked(2, sequence({edits.rbegin(), edits.rbegin() + 8})));
    to.write("with_gaps", marked(2, sequence({edits[11], edits[3], edits[7], edits[3]})));
    for (std::size_t i = 0; i < told.states.size(); ++i) {
        auto& s = told.states[i];
        std::string name = std::to_string(i + 1);
        to.write("state_" + name, marked(1, encode(s)));
        to.write("answer_" + name, marked(0, encode(s.delta_since({{replica_id{1}, 2}, {replica_id{2}, 1}}))));
        delta<T> group = told.edits[i];
        group.join(told.edits[i + 5]);
        to.write("group_" + name, marked(0, encode(group)));
        s.prune(s.version());
        to.write("pruned_" + name, marked(1, encode(s)));
        to.write("whole_" + name, marked(0, encode(s.whole())));
    }
}

// What an earlier version has kept of fields that it does not know, and what a later one writes.
void write_versions(const std::filesystem::path& corpus) {
    const folder to(corpus, "record");
    const auto told = history<records>(12);
    causal<earlier_person> earlier;
    for (const auto& d : told.edits)
        if (const auto read = decode<delta<earlier_person>>(encode(d))) earlier.join(*read);
    to.write("kept_by_an_earlier_version", marked(1, encode(earlier)));
    to.write("passed_on_by_an_earlier_version", marked(0, encode(earlier.whole())));
    replica<later_person> later(replica_id{2}, hybrid_clock([] { return std::uint64_t{1'700'000'000'000}; }));
    std::vector<bytes> edits;
    const auto edit = [&](auto&& f) { edits.push_back(encode(later.edit(f))); };
    edit([](later_person& p, transaction& tx) { p.notes.insert(tx, 0, "note"); });
    edit([](later_person& p, transaction& tx) { p.others.at(tx, 1)->tags.add(tx, "tag"); });
    edit([](later_person& p, transaction& tx) {
        p.home.tags.add(tx, "home");
        p.name.set(tx, "Ann");
    });
    edit([](later_person& p, transaction& tx) { p.others.erase(tx, 1); });
    for (std::size_t i = 0; i < edits.size(); ++i)
        to.write("edit_of_a_later_version_" + std::to_string(i + 1), marked(0, edits[i]));
    to.write("edits_of_a_later_version", marked(2, sequence(edits)));
    to.write("state_of_a_later_version", marked(1, encode(later.state())));
}

// Characters that are gone for good, and stay because of what somebody has put behind them.
void write_settled(const std::filesystem::path& corpus) {
    const folder to(corpus, "rga_text");
    replica<rga_text> one(replica_id{1}), two(replica_id{2});
    two.join(one.edit([](rga_text& t, transaction& tx) { t.insert(tx, 0, std::string(300, 'a')); }));
    for (const std::size_t at : {200u, 100u, 10u}) {
        const auto behind = two.edit([&](rga_text& t, transaction& tx) { t.insert(tx, at, "xy"); });
        one.edit([&](rga_text& t, transaction& tx) { t.erase(tx, at - 1, 1); });
        one.join(behind);
    }
    auto s = one.state();
    s.prune({{replica_id{1}, s.context().greatest(replica_id{1})}});
    to.write("settled", marked(1, encode(s)));
    to.write("settled_whole", marked(0, encode(s.whole())));
}

// A field that nobody knows, somewhere within a value.
template <class Type>
void write_unknown(const std::filesystem::path& corpus, const std::string& target,
                   std::initializer_list<std::initializer_list<std::uint8_t>> paths) {
    const folder to(corpus, target);
    auto d = history<Type>(1).edits.front();
    for (const auto& path : paths) {
        unknown_field field;
        for (const auto b : path) field.path.push_back(std::byte{b});
        field.covered = d.covered;
        field.content.bytes = encode(std::uint64_t{1});
        d.unknown.push_back(field);
    }
    std::sort(d.unknown.begin(), d.unknown.end());
    to.write("unknown_within", marked(0, encode(d)));
}

template <class X>
void write_values(const std::filesystem::path& corpus, const std::string& target, const std::vector<X>& values) {
    folder to(corpus, target);
    for (std::size_t i = 0; i < values.size(); ++i) to.write("value_" + std::to_string(i + 1), encode(values[i]));
}

std::vector<version_vector> version_vectors() {
    version_vector many;
    for (std::uint64_t r = 1; r <= 20; ++r) many.raise(replica_id{r * r}, r * 1000);
    return {{}, {{replica_id{1}, 1}}, {{replica_id{0}, 300}, {replica_id{UINT64_MAX}, max_sequence}}, many};
}

std::vector<causal_context> causal_contexts() {
    std::vector<causal_context> out{{}, causal_context(version_vectors().back())};
    out.push_back({{replica_id{1}, 1, 5}, {replica_id{1}, 7, 7}, {replica_id{1}, 9, max_sequence}});
    out.push_back({{replica_id{3}, 2, 2}, {replica_id{7}, 1, 1000}, {replica_id{7}, 2000, 2001}});
    causal_context sparse;
    for (std::uint64_t i = 1; i <= 40; ++i) sparse.add({replica_id{i % 3}, i * i, i * i + 1});
    out.push_back(sparse);
    return out;
}

std::vector<containers> container_values() {
    std::vector<containers> out(1);
    containers c;
    c.by_name = {{"", {}}, {"a", {{true, -5, "x"}, {false, 300, ""}}}};
    c.pairs = {{0, "z"}, {1, ""}, {255, "y"}};
    c.numbers = {{"p", {1, 1000, UINT64_MAX}}, {"q", {}}};
    c.ids = {replica_id{1}, replica_id{2}, replica_id{77}};
    c.choices = {std::nullopt, std::string("s"), -7, nothing{}};
    c.empties.resize(5);
    c.bits = {true, false, true, true};
    c.three = {true, false, true};
    c.blob = {std::byte{0}, std::byte{255}};
    c.lucky = {{7}, {12}};
    c.dots = {{replica_id{1}, 5}, {replica_id{2}, 5}, {replica_id{1}, 4}, {}};
    out.push_back(c);
    for (int depth = 0; depth < 20; ++depth) {
        branch around{{false, static_cast<std::int16_t>(depth), "t"}, {c.nested, {}}};
        c.nested = around;
    }
    out.push_back(c);
    c.lucky = {{13}};
    out.push_back(c);
    return out;
}

// Bodies of frames, after a byte that chooses the kind of frame.
void write_batch(folder& to, const std::string& name, message_batch& batch) {
    const auto body = open_frame(batch.close(frame_kind::direct))->body;
    to.write(name, marked(0, {body.begin(), body.end()}));
}

// The engine under test has the id 100 and one edit; its requests have numbers not far above.
void write_repairs(folder& to, channel set) {
    const version_vector version{{replica_id{100}, 1}};
    const auto put = [&](const std::string& name, auto&&... messages) {
        message_batch batch;
        (batch.add(messages), ...);
        write_batch(to, name, batch);
    };
    put("comparison", comparison{set, 5, digest(encode(version)), 1, causal_context(version)});
    put("comparison_wide", comparison{set, 5, digest(encode(version)), 1 << 16, {{replica_id{100}, 1, 1 << 20}}});
    put("comparison_too_much", comparison{set, 5, 1, 1, {{replica_id{100}, 1, 2000}}});
    pull own{set, 6, version, 0, 1000, true, causal_context(version)};
    put("repair", own);
    own.dots = {};
    put("repair_complete", own);
    put("receipt", receipt{set, {{replica_id{100}, 1}, {replica_id{7}, 300}}});
    message_batch batch; // the pull under way is refused, what it has differs, and what differs is nothing
    for (std::uint64_t request = 100; request < 110; ++request)
        batch.add(refuse{.reason = refusal::busy, .request = request});
    batch.add(beacon{replica_id{7}, 70, {{set, version, 1, 5}}});
    for (std::uint64_t request = 100; request < 110; ++request) batch.add(digests{set, request, {9}});
    write_batch(to, "digests", batch);
}

void write_presence(folder& to, channel set) {
    const auto text = bytes(20, std::byte{'x'});
    const auto presence_of = [&](std::uint64_t who, std::uint64_t nonce, std::uint64_t sequence,
                                 std::span<const std::byte> what, std::uint64_t time_to_live = 5000) {
        return presence{set, replica_id{who}, nonce, sequence, time_to_live, what};
    };
    const auto put = [&](const std::string& name, const std::vector<presence>& all) {
        message_batch batch;
        for (const auto& m : all) batch.add(m);
        write_batch(to, name, batch);
    };
    put("presence", {presence_of(7, 70, 1, text)});
    put("presence_other_instance",
        {presence_of(8, 80, 5, text), presence_of(8, 81, 1, text), presence_of(8, 80, 6, text)});
    put("presence_gone", {presence_of(8, 80, 5, text), presence_of(8, 80, 6, {}), presence_of(8, 80, 5, text)});
    put("presence_own_id", {presence_of(100, 80, 5, text), presence_of(9, 101, 5, text)});
    put("presence_many", {presence_of(8, 1, 1, text), presence_of(9, 1, 1, text), presence_of(10, 1, 1, text)});
    put("presence_large", {presence_of(8, 1, 1, bytes(presence::max_bytes, std::byte{'x'}))});
    put("presence_too_large", {presence_of(8, 1, 1, bytes(presence::max_bytes + 1, std::byte{'x'}))});
    put("presence_too_long", {presence_of(8, 1, 1, text, presence::max_time_to_live + 1)});
    put("presence_short", {presence_of(8, 1, 1, text, 1), presence_of(8, 1, 2, text, 1)});
}

void write_requests(folder& to, channel set) {
    const auto text = bytes(20, std::byte{'x'});
    const auto put = [&](const std::string& name, auto&&... messages) {
        message_batch batch;
        (batch.add(messages), ...);
        write_batch(to, name, batch);
    };
    const auto asked = [&](std::uint64_t target, std::uint64_t number, std::uint64_t nonce = 70) {
        return request{set, replica_id{7}, replica_id{target}, nonce, number, "echo", text};
    };
    put("request", asked(100, 1));
    put("request_twice", asked(100, 2), asked(100, 2), asked(100, 1), asked(100, 3));
    put("request_for_another", asked(8, 1), asked(7, 2));
    put("request_many_instances", asked(100, 1, 1), asked(100, 1, 2), asked(100, 1, 3), asked(8, 1, 4));
    put("request_own_nonce", asked(100, 1, 101));
    put("request_too_large",
        request{set, replica_id{7}, replica_id{100}, 70, 1, "echo", bytes(request::max_bytes + 1, std::byte{'x'})});
    put("reply", reply{set, replica_id{100}, 101, 1, text});
    put("relaying", relaying{set, replica_id{7}, relay_wish::unwanted},
        relaying{set, replica_id{7}, relay_wish::cut_off});
    put("reply_for_another", asked(8, 1), reply{set, replica_id{7}, 70, 1, text},
        reply{set, replica_id{8}, 70, 9, text});
}

void write_messages(const std::filesystem::path& corpus) {
    folder to(corpus, "messages");
    const channel set = channel_of(name_digest("set"), fingerprint<or_set<std::string>>());
    write_presence(to, set);
    write_repairs(to, set);
    write_requests(to, set);
}

// What a node with the id 100 stores (stored.cpp).
void write_stored(const std::filesystem::path& corpus) {
    const folder to(corpus, "stored");
    replica<or_set<std::string>> r{replica_id{100}}, other{replica_id{7}};
    const auto first = encode(r.edit([](auto& s, auto& tx) { s.add(tx, "one"); }));
    const auto second = encode(r.edit([](auto& s, auto& tx) { s.add(tx, "two"); }));
    const auto third = encode(other.edit([](auto& s, auto& tx) { s.add(tx, "three"); }));
    const auto item = [](const bytes& b) {
        bytes out;
        compact_output_archive ar(out);
        ar.varint(b.size());
        ar.raw(b.data(), b.size());
        return out;
    };
    const auto joined = [](std::initializer_list<bytes> all) {
        bytes out;
        for (const auto& b : all) out.insert(out.end(), b.begin(), b.end());
        return out;
    };
    const auto kind = [](std::uint8_t n) { return bytes{std::byte{0}, std::byte{n}}; };
    const auto held = [&](std::uint64_t who) {
        bytes out = joined({kind(1), {std::byte{1}}});
        for (unsigned i = 0; i < 8; ++i) out.push_back(static_cast<std::byte>(who >> (8 * i)));
        return out;
    };
    const auto answer = [&](const version_vector& horizon) {
        bytes all;
        compact_output_archive(all).write(horizon);
        return joined({kind(2), item(joined({all, item(first), item(second), item(third)}))});
    };
    const version_vector pruned{{replica_id{100}, 1}};
    to.write("snapshot", marked(0, item(encode(r.state().whole()))));
    to.write("snapshot_in_parts", marked(0, answer({})));
    to.write("snapshot_in_parts_pruned", marked(0, joined({answer(pruned), held(100)})));
    to.write("snapshot_held_by_another", marked(0, joined({item(encode(other.state().whole())), held(7)})));
    to.write("record", marked(1, joined({item(first), held(100), item(second), kind(0), item(third)})));
    to.write("record_with_answer", marked(1, answer(pruned)));
    to.write("record_horizon_beyond", marked(1, answer({{replica_id{100}, 9}})));
    to.write("record_kind_unknown", marked(1, kind(3)));
    to.write("record_after_snapshot", marked(2, joined({item(second), item(third)})));
    bytes list;
    for (const std::uint8_t what : {1, 2, 3, 4}) {
        list.push_back(std::byte{what});
        list.resize(list.size() + 15);
        list.push_back(std::byte{what});
    }
    to.write("members", marked(3, list));
    list.pop_back();
    to.write("members_cut", marked(3, list));
}

void write_json(const std::filesystem::path& corpus) {
    const folder to(corpus, "json_import");
    const std::string nested(33, '[');
    const std::pair<const char*, std::string> texts[] = {
        {"object",
         R"({"title": "Trip", "done": false, "to do": ["pack", {"what": "book", "cost": 12.50}], "n": null})"},
        {"numbers", "[0, -0, -0.0, 1e22, 5e-324, 9223372036854775808, -9223372036854775808, 1.7976931348623157e308]"},
        {"number_too_big", "[18446744073709551616]"},
        {"number_too_small", "1e-400"},
        {"strings", R"(["", "\u0000\n\"\\\/", "\ud83d\ude00", "é", "😀"])"},
        {"surrogate", R"("\ud83d")"},
        {"not_utf8", "\"\xff\""},
        {"key_twice", R"({"a": 1, "b": {"a": 2, "a": 3}})"},
        {"deepest", std::string(32, '[') + std::string(32, ']')},
        {"too_deep", nested + std::string(33, ']')},
        {"never_closed", nested},
        {"truncated", R"({"a": [1, 2)"},
        {"zero_byte", std::string("1\0", 2)},
        {"byte_order_mark", "\xef\xbb\xbf{}"},
        {"trailing", "{} {}"},
        {"empty", ""},
    };
    for (const auto& [name, text] : texts) {
        const auto b = std::as_bytes(std::span(text));
        to.write(name, {b.begin(), b.end()});
    }
}

// Framed bytes and parts of frames (frame.cpp).
void write_frames(const std::filesystem::path& corpus) {
    const folder to(corpus, "frame");
    const auto told = history<or_sets>(6);
    const auto first = encode(told.edits[0]), second = encode(told.edits[1]), whole = encode(told.states[0].whole());
    const auto put = [&](const std::string& name, std::uint8_t what, std::span<const std::byte> content) {
        to.write(name, marked(what, {content.begin(), content.end()}));
    };
    frame_writer w;
    for (const auto* part : {&first, &whole}) {
        w.clear();
        w.body().insert(w.body().end(), part->begin(), part->end());
        const std::string name = part == &first ? "edit" : "state";
        put("direct_" + name, 0, w.close(frame_kind::direct));
        put("broadcast_" + name, 0, w.close(frame_kind::broadcast));
        put("snapshot_" + name, 0, w.close(frame_kind::snapshot, 7, 9));
        put("record_" + name, 0, w.close(frame_kind::record, 7, 9));
    }
    bytes answer, parts;
    begin_answer(answer, {{replica_id{1}, 2}, {replica_id{2}, 1}});
    put_item(answer, first);
    put_item(answer, second);
    put("answer", 1, answer);
    put_item(parts, first);
    put_answer(parts, answer);
    put_mark(parts, dot{replica_id{1}, 300});
    put_item(parts, second);
    put_mark(parts, std::nullopt);
    put("items", 2, parts);
    put("edit_head", 3, first);
    put("state_head", 3, whole);
    put("gap_head", 3, encode(told.states[1].delta_since({{replica_id{1}, 1}})));
}

// Text that names something, and small values (names.cpp).
void write_names(const std::filesystem::path& corpus) {
    const folder to(corpus, "names");
    const auto text = [](std::string_view s) {
        const auto b = std::as_bytes(std::span(s));
        return bytes(b.begin(), b.end());
    };
    const std::string key(32, 'a');
    const std::pair<const char*, std::pair<std::uint8_t, std::string>> texts[] = {
        {"unique_id", {0, "5kq2r0m8xw3yt-c1"}},
        {"unique_id_large", {0, "FZZZZZZZZZZZZ-3zzzzzzzzzzzz"}},
        {"unique_id_overflow", {0, "G0000000000000-1"}},
        {"unique_id_leading_zero", {0, "01-1"}},
        {"unique_id_no_one", {0, "0-0"}},
        {"unique_id_alike", {0, "oIl-L"}},
        {"key", {1, key + "0123456789abcdefABCDEF9876543210"}},
        {"key_signed", {1, "-1" + key + "0123456789abcdefABCDEF98765432"}},
        {"pointer", {2, "/a/1/b"}},
        {"pointer_escaped", {2, "/~0~1//0"}},
        {"pointer_root", {2, ""}},
        {"pointer_bad", {2, "/a~"}},
        {"pointer_relative", {2, "a"}},
        {"text", {3, "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\xa0\x80\xc0\xaf\xff"}},
    };
    for (const auto& [name, value] : texts) to.write(name, marked(value.first, text(value.second)));
    const std::map<std::string, version_vector> tokens{{"carts", {{replica_id{1}, 7}}}, {"orders", {}}};
    to.write("session", marked(4, encode(tokens)));
    to.write("anchor", marked(5, encode(text_anchor{dot{replica_id{1}, 5}, text_bias::right})));
    to.write("unique_id_bytes", marked(6, encode(unique_id(dot{replica_id{3}, 9}))));
    to.write("order", marked(7, encode(detail::home_order{1, "key", text("argument"), 3})));
    const detail::home_verdict verdict{0, text("answer"), "reason", {{replica_id{1}, 2}}};
    to.write("verdict", marked(8, encode(verdict)));
    for (const std::uint8_t what : {0, 1, 2, 3})
        to.write("claim_" + std::to_string(what), marked(9, encode(std::pair(what, std::string("me")))));
    to.write("claims_answer",
             marked(10, encode(std::vector<claim>{{"me", 1, replica_id{1}}, {"you", 1, replica_id{2}}})));
    to.write("timestamp", marked(11, encode(timestamp{1'700'000'000'000 << 16})));
}

// Steps, each with a part of text (text_input.cpp).
void write_texts(const std::filesystem::path& corpus) {
    const folder to(corpus, "text_input");
    const auto put = [&](const std::string& name, const std::vector<std::pair<std::uint8_t, std::string>>& steps) {
        bytes all;
        for (const auto& [what, text] : steps) {
            all.push_back(std::byte{what});
            const auto b = std::as_bytes(std::span(text));
            const auto part = sequence({bytes(b.begin(), b.end())});
            all.insert(all.end(), part.begin(), part.end());
        }
        to.write(name, all);
    };
    put("typing",
        {{0, "hello"}, {64 + 0, " \xf0\x9f\x98\x80"}, {1, "x\n"}, {2, "y\r\n"}, {4, "z"}, {5, "z"}, {6, "z"}});
    put("diff", {{3, "one\ntwo\nthree\n"}, {3, "one\n2\nthree\nfour\n"}, {7, "two\nthree"}, {3, ""}});
    put("inside_a_character",
        {{0, "\xf0\x9f\x98\x80\xf0\x9f\x98\x80"}, {24 * 8 / 2 + 1, "x"}, {24 * 8 / 2 + 2, "x"}, {5, "x"}, {6, "x"}});
    put("beyond_the_end", {{0, "abc"}, {31 * 8, "x"}, {31 * 8 + 4, "x"}, {31 * 8 + 1, "x"}, {31 * 8 + 2, "x"}});
    put("not_utf8", {{0, "\xff"},
                     {0, "ab\x80"},
                     {1, "\xc0\x80"},
                     {2, "\xed\xa0\x80"},
                     {3, "\xf4\x90\x80\x80"},
                     {0, "\xe2\x82"},
                     {3, "abcdefgh\xe0\x80\x80"}});
}

} // namespace
} // namespace joinery::fuzz

int main(int argc, char** argv) {
    using namespace joinery::fuzz;
    if (argc != 2) {
        std::cerr << "usage: make_corpus FOLDER\n";
        return 2;
    }
    const std::filesystem::path corpus = argv[1];
    write_values(corpus, "version_vector", version_vectors());
    write_values(corpus, "causal_context", causal_contexts());
    write_values(corpus, "containers", container_values());
    write_messages(corpus);
    write_stored(corpus);
    write_histories<g_counters>(corpus, "g_counter");
    write_histories<pn_counters>(corpus, "pn_counter");
    write_histories<lww_registers>(corpus, "lww_register");
    write_histories<mv_registers>(corpus, "mv_register");
    write_histories<or_sets>(corpus, "or_set");
    write_histories<set_maps>(corpus, "or_map");
    write_histories<counter_maps>(corpus, "counter_map");
    write_histories<records>(corpus, "record");
    write_histories<lists>(corpus, "rga_list");
    write_histories<texts>(corpus, "rga_text");
    write_histories<documents>(corpus, "document");
    write_histories<dynamic_documents>(corpus, "dynamic_document");
    write_json(corpus);
    write_settled(corpus);
    write_versions(corpus);
    // a tag, or a tag, the key "n" and a tag
    write_unknown<sets>(corpus, "sets", {{6, 1, 'n', 9}, {4, 1, 'k', 1}, {7, 5}, {1, 3}, {99}});
    write_unknown<switches>(corpus, "switches", {{4, 1, 'b', 1}, {1, 1}, {5, 1, 'x', 2}, {8, 7}});
    write_unknown<dynamic_documents>(corpus, "dynamic_document", {{99}, {1, 99}, {2, 1, 'x', 1, 99}, {3, 1, 'n', 99}});
    write_unknown<documents>(corpus, "document", {{3, 1, 'n', 5}, {2, 1}, {1, 1}});
    write_frames(corpus);
    write_names(corpus);
    write_texts(corpus);
    write_histories<sets>(corpus, "sets");
    write_histories<switches>(corpus, "switches");
    return 0;
}
