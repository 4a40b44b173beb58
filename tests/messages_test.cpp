// SPDX-License-Identifier: Apache-2.0
#include <joinery/messages.hpp>

#include <joinery/lww_register.hpp>
#include <joinery/rga_text.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

using namespace joinery;

namespace {

using bytes = std::vector<std::byte>;

const replica_id a{0xa}, b{0xb};
const channel carts{0xca}, users{0xce};

bytes some(std::size_t n) {
    bytes out(n);
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::byte>(i);
    return out;
}

bool same(std::span<const std::byte> x, std::span<const std::byte> y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end());
}

template <class M> void check_round_trip(const M& m) {
    const auto encoded = encode(m);
    const auto back = decode<M>(encoded);
    REQUIRE(back);
    CHECK(*back == m);
    CHECK(encode(*back) == encoded);
    for (std::size_t n = 0; n < encoded.size(); ++n) CHECK_FALSE(decode<M>(std::span(encoded).first(n)));
}

hello full_hello() {
    hello m;
    m.replica = a;
    m.nonce = 1;
    m.challenge = 2;
    m.echo = 3;
    m.hears = true;
    m.complete = false;
    m.durability = 2;
    m.name = "eu";
    m.formers = {b};
    m.collections = {{7, 8, {{a, 5}, {b, 6}}}, {9, 10, {}}};
    return m;
}

// Every message that there is, in one frame.
bytes all_in_one(const bytes& payload) {
    message_batch batch;
    batch.add(full_hello());
    batch.add(update{carts, assurance::durable, {{b, 3}}, payload});
    batch.add(update{carts, assurance::none, {}, payload});
    batch.add(beacon{a, 1, {{carts, {{a, 5}}, 7, 99}, {users, {}, 0, std::nullopt}}});
    batch.add(pull{carts, 77, {{a, 5}}, 10, 20});
    batch.add(chunk{carts, 77, 88, 10, 1000, payload});
    batch.add(credit{carts, 77, 10, 20});
    batch.add(refuse{refusal::identity_in_use, a.value(), 0, 5});
    batch.add(relaying{carts, a, relay_wish::unwanted});
    batch.add(membership{carts, {a, b}, {}});
    batch.add(acknowledgements{carts, {{a, 5, {{a, 5}}}}});
    batch.add(presence{carts, a, 5, 300, 30'000, payload});
    batch.add(comparison{carts, 78, 5, 256, {{a, 1, 300}}});
    batch.add(digests{carts, 78, {1, 0}});
    batch.add(receipt{carts, {{a, 5}, {b, 300}}});
    batch.add(request{carts, a, b, 5, 300, "claims", payload});
    batch.add(reply{carts, a, 5, 300, payload});
    const auto f = batch.close(frame_kind::direct);
    return {f.begin(), f.end()};
}

// Reads to the end or to the first error; gives the number of messages.
std::size_t read_all(std::span<const std::byte> body) {
    message_reader reader(body);
    message m;
    std::size_t n = 0;
    for (;; ++n) {
        const auto more = reader.next(m);
        if (!more || !*more) return n;
    }
}

} // namespace

TEST_CASE("messages: each is what it was after a round trip") {
    check_round_trip(full_hello());
    hello nearly_empty;
    nearly_empty.nonce = 1;
    check_round_trip(nearly_empty);
    check_round_trip(beacon{a, 1, {{carts, {{a, 5}, {b, 1}}, 7, 99}, {users, {}, 0, std::nullopt}}});
    check_round_trip(pull{carts, 77, {{a, 5}}, 10, 20});
    check_round_trip(pull{carts, 77, {{a, 5}}, 10, 20, true, {}});
    check_round_trip(pull{carts, 77, {{a, 5}}, 10, 20, true, {{a, 1, 3}, {b, 5, 5}}});
    check_round_trip(comparison{carts, 78, 5, std::uint64_t{1} << 60, {{a, 1, 300}}});
    check_round_trip(comparison{carts, 78, 5, 1, {{a, 3, 4}, {b, 1, 1}}});
    check_round_trip(digests{carts, 78, {}});
    check_round_trip(receipt{carts, {{a, 5}, {b, 300}}});
    check_round_trip(digests{carts, 78, {5, 0, UINT64_MAX}});
    check_round_trip(credit{carts, 77, 10, 20});
    check_round_trip(refuse{refusal::type, 4, 0, 0});
    check_round_trip(relaying{{8}, b, relay_wish::cut_off});
    check_round_trip(membership{carts, {a, b}, {b}});
    check_round_trip(acknowledgements{carts, {{a, 5, {{b, 1}}}, {b, 5, {}}}});

    const auto payload = some(40);
    const auto u = encode(update{carts, assurance::durable, {{a, 2}, {b, 3}}, payload});
    const auto u2 = decode<update>(u);
    REQUIRE(u2);
    CHECK(u2->channel == carts);
    CHECK(u2->wanted == assurance::durable);
    CHECK(u2->dependencies == version_vector{{a, 2}, {b, 3}});
    CHECK(same(u2->delta, payload));

    const auto c = encode(chunk{carts, 1, 2, 3, 50, payload});
    const auto c2 = decode<chunk>(c);
    REQUIRE(c2);
    CHECK(c2->offset == 3);
    CHECK(c2->total == 50);
    CHECK(same(c2->bytes, payload));

    const auto p = encode(presence{carts, b, 5, 300, 30'000, payload});
    const auto p2 = decode<presence>(p);
    REQUIRE(p2);
    CHECK(p2->channel == carts);
    CHECK(p2->replica == b);
    CHECK(p2->nonce == 5);
    CHECK(p2->sequence == 300);
    CHECK(p2->time_to_live == 30'000);
    CHECK(same(p2->bytes, payload));
    CHECK(encode(*p2) == p);
    for (std::size_t n = 0; n < p.size(); ++n) CHECK_FALSE(decode<presence>(std::span(p).first(n)));

    const auto q = encode(request{carts, a, b, 5, 300, "claims", payload});
    const auto q2 = decode<request>(q);
    REQUIRE(q2);
    CHECK(q2->channel == carts);
    CHECK(q2->origin == a);
    CHECK(q2->target == b);
    CHECK(q2->nonce == 5);
    CHECK(q2->number == 300);
    CHECK(q2->service == "claims");
    CHECK(same(q2->bytes, payload));
    CHECK(encode(*q2) == q);
    for (std::size_t n = 0; n < q.size(); ++n) CHECK_FALSE(decode<request>(std::span(q).first(n)));

    const auto r = encode(reply{carts, a, 5, 300, payload});
    const auto r2 = decode<reply>(r);
    REQUIRE(r2);
    CHECK(r2->origin == a);
    CHECK(r2->nonce == 5);
    CHECK(r2->number == 300);
    CHECK(same(r2->bytes, payload));
    CHECK(encode(*r2) == r);
    for (std::size_t n = 0; n < r.size(); ++n) CHECK_FALSE(decode<reply>(std::span(r).first(n)));
}

TEST_CASE("messages: requests are numbered from 1, and no longer than they may be") {
    const auto readable = [](const auto& m) { return bool(decode<std::decay_t<decltype(m)>>(encode(m))); };
    CHECK(readable(request{carts, a, b, 1, 1, std::string(request::max_service, 'x'), some(request::max_bytes)}));
    CHECK_FALSE(readable(request{carts, a, b, 0, 1, "x", {}}));
    CHECK_FALSE(readable(request{carts, a, b, 1, 0, "x", {}}));
    CHECK_FALSE(readable(request{carts, a, b, 1, 1, std::string(request::max_service + 1, 'x'), {}}));
    CHECK_FALSE(readable(request{carts, a, b, 1, 1, "x", some(request::max_bytes + 1)}));
    CHECK(readable(reply{carts, a, 1, 1, some(request::max_bytes)}));
    CHECK_FALSE(readable(reply{carts, a, 0, 1, {}}));
    CHECK_FALSE(readable(reply{carts, a, 1, 0, {}}));
    CHECK_FALSE(readable(reply{carts, a, 1, 1, some(request::max_bytes + 1)}));
}

TEST_CASE("messages: a batch gives them back in order") {
    const auto payload = some(100);
    const auto frame = all_in_one(payload);
    const auto opened = open_frame(frame);
    REQUIRE(opened);
    message_reader reader(opened->body);
    message m;
    std::vector<std::size_t> order;
    while (*reader.next(m)) {
        order.push_back(m.index());
        if (const auto* h = std::get_if<hello>(&m)) CHECK(*h == full_hello());
        if (const auto* u = std::get_if<update>(&m)) CHECK(same(u->delta, payload));
    }
    CHECK(order == std::vector<std::size_t>{0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15});
}

TEST_CASE("messages: a small edit costs little more than its delta") {
    const auto payload = some(50);
    message_batch batch;
    batch.add(update{carts, assurance::none, {}, payload});
    CHECK(batch.close(frame_kind::broadcast).size() == 50 + 21);
    batch.clear();
    for (int i = 0; i < 100; ++i) batch.add(update{carts, assurance::none, {}, payload});
    CHECK(batch.close(frame_kind::broadcast).size() == 100 * (50 + 4) + 8 + 10);
}

TEST_CASE("messages: of an edit that follows on the one before, what is behind its dot is written") {
    replica<rga_text> writer{a};
    std::vector<std::vector<std::byte>> typed;
    for (int i = 0; i < 100; ++i)
        typed.push_back(encode(writer.edit([&](auto& t, auto& tx) { t.insert(tx, t.size(), "x"); })));
    message_batch batch;
    for (const auto& d : typed) batch.add(update{carts, assurance::none, {}, d});
    CHECK(batch.close(frame_kind::broadcast).size() < 100 * 4);
}

TEST_CASE("messages: edits in a row come back as they were, among others") {
    std::mt19937_64 random(1);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
    for (int round = 0; round < 300; ++round) {
        replica<rga_text> writers[] = {replica<rga_text>{a}, replica<rga_text>{b}};
        std::vector<update> added;
        std::vector<std::vector<std::byte>> deltas;
        deltas.reserve(40);
        message_batch batch;
        for (std::size_t i = 0; i < 40; ++i) {
            auto& w = writers[below(8) == 0];
            const std::size_t length = below(3) == 0 ? 1 + below(300) : 1; // some deltas are long
            auto d = w.edit([&](auto& t, auto& tx) {
                if (t.size() > 3 && below(3) == 0)
                    t.erase(tx, below(t.size() - 2), 2);
                else
                    t.insert(tx, below(t.size() + 1), std::string(length, 'x'));
            });
            if (below(10) == 0) d = w.delta_since({}); // of what was sent before, too
            deltas.push_back(encode(d));
            if (below(20) == 0) deltas.back() = some(below(30));
            const auto wanted = static_cast<assurance>(below(8) == 0 ? 1 + below(2) : 0);
            added.push_back({below(6) ? carts : users, wanted, {}, deltas.back()});
            if (below(8) == 0) added.back().dependencies.raise(b, 1 + i);
            batch.add(added.back());
            if (below(8) == 0) batch.add(credit{carts, 1, 2, 3});
        }
        const auto opened = open_frame(batch.close(frame_kind::direct));
        REQUIRE(opened);
        message_reader reader(opened->body);
        message m;
        std::size_t next = 0;
        for (;;) {
            const auto more = reader.next(m);
            REQUIRE(more);
            if (!*more) break;
            const auto* u = std::get_if<update>(&m);
            if (!u) continue;
            const update& was = added.at(next++);
            CHECK(u->channel == was.channel);
            CHECK(u->wanted == was.wanted);
            CHECK(u->dependencies == was.dependencies);
            CHECK(same(u->delta, was.delta));
        }
        CHECK(next == added.size());
    }
}

TEST_CASE("messages: the beginning of a delta tells its dots") {
    replica<lww_register<std::string>> r{a};
    r.edit([](auto& x, auto& tx) { x.set(tx, "first"); });
    const auto d = r.edit([](auto& x, auto& tx) {
        x.set(tx, "second");
        x.set(tx, "third");
    });
    const auto dots = edit_dots(encode(d));
    REQUIRE(dots);
    CHECK(*dots == dot_range{a, 2, 3});
    CHECK(coverage_of(encode(d)) == causal_context{dot_range{a, 2, 3}});

    replica<lww_register<std::string>> other{b};
    other.join(d);
    other.edit([](auto& x, auto& tx) { x.set(tx, "fourth"); });
    const auto whole = encode(other.state().whole());
    CHECK_FALSE(edit_dots(whole)); // of two replicas
    CHECK(coverage_of(whole) == other.state().context());
    CHECK_FALSE(edit_dots(bytes{}));
}

TEST_CASE("messages: a comparison's blocks lie where its width says") {
    std::vector<dot_range> blocks;
    comparison{carts, 1, 2, 16, {{a, 5, 40}, {b, 16, 16}, {b, 18, 20}}}.for_each_block(
        [&](const dot_range& r) { blocks.push_back(r); });
    CHECK(blocks == std::vector<dot_range>{{a, 5, 16}, {a, 17, 32}, {a, 33, 40}, {b, 16, 16}, {b, 18, 20}});
    blocks.clear();
    comparison{carts, 1, 2, std::uint64_t{1} << 60, {{a, 1, max_sequence}}}.for_each_block(
        [&](const dot_range& r) { blocks.push_back(r); });
    CHECK(blocks.size() <= 16);
    CHECK(blocks.back().last == max_sequence);

    CHECK(decode<comparison>(encode(comparison{carts, 1, 2, 16, {{a, 1, 16 * comparison::max_blocks}}})));
    CHECK(decode<comparison>(encode(comparison{carts, 1, 2, 16, {{a, 1, 16 * comparison::max_blocks + 1}}})).error() ==
          decode_error::too_large);
    CHECK(decode<comparison>(encode(comparison{carts, 1, 2, 1, {{a, 1, max_sequence}}})).error() ==
          decode_error::too_large);
    auto bad = encode(comparison{carts, 1, 2, 1, {}});
    bad[bad.size() - 2] = std::byte{16}; // a level that no width has
    CHECK(decode<comparison>(bad).error() == decode_error::invalid_value);
}

TEST_CASE("messages: what no engine writes is refused") {
    CHECK(decode<pull>(encode(pull{carts, 1, {}, 20, 10})).error() == decode_error::invalid_value);
    CHECK(decode<credit>(encode(credit{carts, 1, 20, 10})).error() == decode_error::invalid_value);
    CHECK(decode<chunk>(encode(chunk{carts, 1, 2, 0, 5, some(6)})).error() == decode_error::invalid_value);
    CHECK(decode<chunk>(encode(chunk{carts, 1, 2, UINT64_MAX, 5, some(6)})).error() == decode_error::invalid_value);
    CHECK(decode<chunk>(encode(chunk{carts, 1, 2, 0, 5, {}})).error() == decode_error::invalid_value);
    CHECK(decode<relaying>(encode(relaying{{8}, a, static_cast<relay_wish>(4)})).error() ==
          decode_error::invalid_value);
    CHECK(decode<refuse>(encode(refuse{static_cast<refusal>(9), 0, 0, 0})).error() == decode_error::invalid_value);
    CHECK(decode<hello>(encode(hello{})).error() == decode_error::invalid_value); // no nonce
    CHECK(decode<presence>(encode(presence{carts, a, 0, 1, 1, {}})).error() == decode_error::invalid_value);
    CHECK(decode<presence>(encode(presence{carts, a, 1, 0, 1, {}})).error() == decode_error::invalid_value);
    CHECK(decode<presence>(encode(presence{carts, a, 1, 1, 0, {}})).error() == decode_error::invalid_value);
    CHECK(decode<presence>(encode(presence{carts, a, 1, 1, 3'600'001, {}})).error() == decode_error::too_large);
    CHECK(decode<presence>(encode(presence{carts, a, 1, 1, 1, some(4097)})).error() == decode_error::too_large);
    CHECK(decode<presence>(encode(presence{carts, a, 1, 1, 3'600'000, some(4096)})));
    hello long_name;
    long_name.nonce = 1;
    long_name.name = std::string(hello::max_name + 1, 'x');
    CHECK(decode<hello>(encode(long_name)).error() == decode_error::too_large);
    hello renamed;
    renamed.nonce = 1;
    for (std::uint64_t i = 1; i <= hello::max_formers; ++i) renamed.formers.emplace_back(i);
    CHECK(decode<hello>(encode(renamed)));
    renamed.formers.emplace_back(100);
    CHECK(decode<hello>(encode(renamed)).error() == decode_error::too_large);
    bytes unknown_tag{std::byte{99}};
    CHECK(read_all(unknown_tag) == 0);
}

TEST_CASE("messages: of a hello in another protocol version only the version is read") {
    auto m = full_hello();
    m.protocol = 2;
    const auto back = decode<hello>(encode(m));
    REQUIRE(back);
    CHECK(back->protocol == 2);
    CHECK(back->collections.empty());
}

TEST_CASE("messages: damaged bodies end in an error, never worse") {
    const auto frame = all_in_one(some(30));
    const auto body = open_frame(frame)->body;
    std::mt19937_64 random(1);
    for (int round = 0; round < 20'000; ++round) {
        bytes bad(body.begin(), body.end());
        for (auto hits = 1 + random() % 3; hits > 0; --hits)
            bad[random() % bad.size()] = static_cast<std::byte>(random() % 256);
        if (random() % 4 == 0) bad.resize(random() % bad.size());
        read_all(bad);
        edit_dots(bad);
        coverage_of(bad);
    }
}
