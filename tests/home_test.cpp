// SPDX-License-Identifier: Apache-2.0
// Operations at a home, claims, and rights that go where they are needed: between leaders in memory.
#include <joinery/claims.hpp>
#include <joinery/rights.hpp>

#include <joinery/memory_storage.hpp>
#include <joinery/memory_transport.hpp>

#include "comes.hpp"
#include "gated_storage.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

constexpr auto patience = 20s; // far beyond what is needed; nothing waits for it in vain
constexpr auto soon = 300ms;   // waited for in vain

node_options options(memory_network& network, const std::string& name, const std::vector<std::string>& peers,
                     memory_disk* disk = nullptr) {
    node_options o;
    o.name = name;
    o.transport = network.make(name, peers);
    if (disk) o.storage = disk->open();
    o.timings.beacon = 50ms;
    o.timings.request_retry = 50ms;
    return o;
}

// A leader of claims, and its desk.
struct office {
    leader<claims> at;
    registrar<leader<claims>> desk;
    explicit office(node_options o) : at(std::move(o)), desk(at) {}
};

bool knows_home(const office& o, const std::string& key, replica_id who) {
    return o.at.wait_until(
        [&](const claims& all) {
            const auto h = all.homes.of(key);
            return h && h->node == who;
        },
        patience);
}
bool contested(const office& o, const std::string& key) {
    return o.at.wait_until([&](const claims& all) { return all.of(key).size() == 2; }, patience);
}
void part(office& a, office& b, const std::string& name_a, const std::string& name_b) {
    a.at.disconnect(name_b);
    b.at.disconnect(name_a);
}

} // namespace

// ---- requests ----

TEST_CASE("request: is answered by whom it is for, also across a chain, and several at once") {
    memory_network network;
    std::vector<leader<bounded_counter>> chain;
    chain.emplace_back(options(network, "a", {}));
    chain.emplace_back(options(network, "b", {"a"}));
    chain.emplace_back(options(network, "c", {"b"}));
    chain.emplace_back(options(network, "d", {"c"}));
    std::vector<subscription> serving;
    for (auto& l : chain)
        serving.push_back(l.serve("echo", [&l](replica_id from, std::span<const std::byte> what) {
            l.write([](auto& c, auto& tx) { c.increment(tx); });
            auto out = encode(std::pair(from.value(), l.id().value()));
            out.insert(out.end(), what.begin(), what.end());
            return out;
        }));
    const auto expected = [&](std::size_t at, std::uint64_t what) {
        auto out = encode(std::pair(chain[0].id().value(), chain[at].id().value()));
        const auto b = encode(what);
        out.insert(out.end(), b.begin(), b.end());
        return out;
    };
    REQUIRE(chain[0].wait_until([](const auto&) { return true; }, patience));
    const auto all = chain[0].request(
        "echo",
        {{chain[3].id(), encode(std::uint64_t{7})}, {chain[1].id(), encode(std::uint64_t{8})}, {chain[2].id(), {}}},
        patience);
    REQUIRE(all.size() == 3);
    REQUIRE(all[0].answer);
    CHECK(*all[0].answer == expected(3, 7));
    REQUIRE(all[1].answer);
    CHECK(*all[1].answer == expected(1, 8));
    CHECK(all[2].answer);
    CHECK(chain[0].wait_until([](const bounded_counter& c) { return c.value() >= 3; }, patience));

    serving[3].cancel();
    const auto silent = chain[0].request("echo", {{chain[3].id(), {}}}, soon);
    CHECK_FALSE(silent[0].answer);
    CHECK(silent[0].sent);
    const auto counters = chain[1].status().counters;
    CHECK(counters.at("requests_relayed") > 0);
    CHECK_THROWS_AS(chain[0].request("echo", {{chain[3].id(), std::vector<std::byte>(100'000)}}, soon),
                    std::invalid_argument);
}

TEST_CASE("request: who has no peer has not sent it, and the node's own thread does not wait") {
    memory_network network;
    leader<bounded_counter> alone(options(network, "a", {}));
    const auto r = alone.request("echo", {{replica_id{5}, {}}}, 0ms);
    CHECK_FALSE(r[0].sent);
    CHECK_FALSE(r[0].answer);
    std::atomic<int> refused{0};
    auto watch = alone.subscribe([&](const change&) {
        try {
            (void)alone.request("echo", {{replica_id{5}, {}}}, 1s);
        } catch (const std::logic_error&) {
            ++refused;
            refused.notify_one();
        }
    });
    alone.write([](auto& c, auto& tx) { c.increment(tx); });
    refused.wait(0);
    CHECK(refused > 0);
}

TEST_CASE("request: an answer that cannot be sent is none, and whoever gave it goes on") {
    memory_network network;
    leader<bounded_counter> a(options(network, "a", {}));
    std::atomic<int> told{0};
    auto o = options(network, "b", {"a"});
    o.log = [&](const log_line& line) { told += line.event == "answer_too_great"; };
    leader<bounded_counter> b(std::move(o));
    auto great = b.serve("great", [](replica_id, auto) { return std::vector<std::byte>(65'537); });
    auto echo = b.serve("greatest", [](replica_id, auto) { return std::vector<std::byte>(65'536); });
    b.write([](auto& c, auto& tx) { c.increment(tx); });
    REQUIRE(a.wait_until([](const bounded_counter& c) { return c.value() == 1; }, patience));
    const auto r = a.request("great", {{b.id(), {}}}, soon);
    CHECK(r[0].sent);
    CHECK(r[0].again); // every 50 ms
    CHECK_FALSE(r[0].answer);
    CHECK(a.request("greatest", {{b.id(), {}}}, patience)[0].answer);
    CHECK(told > 0);
    b.write([](auto& c, auto& tx) { c.increment(tx); });
}

// ---- claims ----

TEST_CASE("homes: the longest prefix counts, however many there are and however long the key is") {
    for (const int n : {0, 3, 100'000}) {
        replica<homes> r{replica_id{1}};
        r.edit([&](homes& all, transaction& tx) {
            all.appoint(tx, "b", replica_id{2}, "b");
            all.appoint(tx, "bob", replica_id{3}, "bob");
            for (int i = 0; i < n; ++i) all.appoint(tx, "c" + std::to_string(i), replica_id{4}, "c");
        });
        CHECK_FALSE(r->of(""));
        CHECK_FALSE(r->of("a"));
        CHECK(r->of("b")->name == "b");
        CHECK(r->of("bo")->name == "b");
        CHECK(r->of("bob")->name == "bob");
        CHECK(r->of("bobby" + std::string(1000, 'y'))->name == "bob");
        r.edit([](homes& all, transaction& tx) { all.appoint(tx, "", replica_id{5}, "all"); });
        CHECK(r->of("")->name == "all");
        CHECK(r->of("a")->name == "all");
        CHECK(r->of("bo")->name == "b");
    }
}

TEST_CASE("claims: one owner for a key, whoever asks, and the same answer to whom asks again") {
    memory_network network;
    office eu(options(network, "eu", {"us", "asia"}));
    office us(options(network, "us", {"eu", "asia"}));
    office asia(options(network, "asia", {"eu", "us"}));
    CHECK(eu.desk.claim("bob", "bob-1", 0ms).status == claim_status::no_home);
    eu.desk.take_over("", eu.at.id(), "eu");
    for (auto* o : {&us, &asia}) REQUIRE(knows_home(*o, "bob", eu.at.id()));

    CHECK(us.desk.claim("bob", "bob-1", patience).granted());
    CHECK(us.desk.of("bob").size() == 1); // at once
    const auto taken = asia.desk.claim("bob", "bob-2", patience);
    CHECK(taken.status == claim_status::taken);
    CHECK(taken.owner == "bob-1");
    CHECK(taken.home == "eu");
    CHECK(to_string(taken) == "taken by bob-1");
    for (auto* o : {&eu, &us, &asia}) CHECK(o->desk.claim("bob", "bob-1", patience).granted());
    CHECK(eu.at.read([](const claims& all) { return all.granted.find("bob")->size(); }) == 1);

    CHECK(asia.desk.release("bob", "bob-2", patience).status == claim_status::taken);
    CHECK(us.desk.release("bob", "bob-1", patience).status == claim_status::free);
    CHECK(us.desk.release("bob", "bob-1", patience).status == claim_status::free);
    CHECK(asia.desk.claim("bob", "bob-2", patience).granted());
}

TEST_CASE("claims: many at once from everywhere, and each key has one owner") {
    memory_network network;
    office eu(options(network, "eu", {"us", "asia"}));
    office us(options(network, "us", {"eu", "asia"}));
    office asia(options(network, "asia", {"eu", "us"}));
    eu.desk.take_over("", eu.at.id(), "eu");
    for (auto* o : {&us, &asia}) REQUIRE(knows_home(*o, "", eu.at.id()));
    std::vector<std::vector<std::string>> granted(6);
    std::vector<std::thread> clients;
    for (std::size_t t = 0; t < granted.size(); ++t)
        clients.emplace_back([&, t] {
            auto& o = t % 3 == 0 ? eu : t % 3 == 1 ? us : asia;
            for (int i = 0; i < 40; ++i)
                if (o.desk.claim("seat " + std::to_string(i), "client " + std::to_string(t), patience).granted())
                    granted[t].push_back("seat " + std::to_string(i));
        });
    for (auto& c : clients) c.join();
    std::map<std::string, int> owners;
    for (const auto& g : granted)
        for (const auto& seat : g) ++owners[seat];
    CHECK(owners.size() == 40);
    for (const auto& [seat, n] : owners) CHECK(n == 1);
    CHECK(us.desk.conflicts().empty());
}

TEST_CASE("claims: a home that is away is named, and whether it was asked is known") {
    memory_network network;
    office us(options(network, "us", {"eu"}));
    {
        office eu(options(network, "eu", {"us"}));
        eu.desk.take_over("", eu.at.id(), "eu");
        REQUIRE(knows_home(us, "bob", eu.at.id()));
    }
    REQUIRE(us.at.wait_until([&](const auto&) { return true; }, patience));
    while (us.at.status().peers.at(0).up) std::this_thread::yield();
    const auto r = us.desk.claim("bob", "bob-1", soon);
    CHECK(r.status == claim_status::unavailable);
    CHECK(to_string(r) == "the home \"eu\" is unavailable, nothing was done");

    office asia(options(network, "asia", {"us"})); // might pass it on
    REQUIRE(knows_home(asia, "bob", us.at.read([](const claims& c) { return c.homes.of("")->node; })));
    while (us.at.status().peers.size() < 2) std::this_thread::yield();
    const auto asked = us.desk.claim("bob", "bob-1", soon);
    CHECK(asked.status == claim_status::unknown);
    CHECK(to_string(asked) == "the home \"eu\" has not answered: it may have been done, ask again");
}

TEST_CASE("claims: a restarted home gives the answers that it gave before, once it knows who it is") {
    memory_network network;
    memory_disk disk;
    office us(options(network, "us", {"eu"}));
    auto eu = std::make_unique<office>(options(network, "eu", {"us"}, &disk));
    const auto home = eu->at.id();
    eu->desk.take_over("", home, "eu");
    REQUIRE(knows_home(us, "", home));
    REQUIRE(us.desk.claim("bob", "bob-1", patience).granted());
    eu.reset();
    us.at.disconnect("eu");
    eu = std::make_unique<office>(options(network, "eu", {}, &disk));
    REQUIRE(eu->at.id() == home);
    const auto alone = eu->desk.claim("eve", "eve-1", soon); // it may be an old copy
    CHECK(alone.status == claim_status::unavailable);
    CHECK(alone.reason == "it has started, and no peer has said yet what it knows of it");
    eu->at.connect("us");
    CHECK(us.desk.claim("bob", "bob-1", patience).granted());
    CHECK(us.desk.claim("bob", "bob-2", patience).owner == "bob-1");
    CHECK(eu->desk.claim("eve", "eve-1", patience).granted());
}

TEST_CASE("claims: handed over by the home itself, nothing can conflict") {
    memory_network network;
    office eu(options(network, "eu", {"us"}));
    office us(options(network, "us", {"eu"}));
    eu.desk.take_over("", eu.at.id(), "eu");
    REQUIRE(knows_home(us, "", eu.at.id()));
    REQUIRE(eu.desk.claim("bob", "bob-1", patience).granted());
    REQUIRE(us.desk.hand_over("b", us.at.id(), "us", patience).done());
    CHECK(us.desk.claim("bob", "bob-2", patience).owner == "bob-1"); // it had to know that before it could be the home
    CHECK(us.desk.claim("bill", "bill-2", patience).granted());
    CHECK(us.at.read([](const claims& all) { return all.of("bill").front().epoch; }) == 2);
    CHECK(eu.desk.claim("bill", "bill-1", patience).owner == "bill-2");
    CHECK(eu.desk.claim("eve", "eve-1", patience).home == "eu"); // that prefix stays
    CHECK(eu.desk.home_of("bill")->name == "us");
    CHECK(eu.desk.home_of("eve")->name == "eu");
    CHECK(us.desk.conflicts().empty());
}

TEST_CASE("claims: what two homes have granted is seen on both sides, told of, and decided") {
    memory_network network;
    office eu(options(network, "eu", {"us"}));
    office us(options(network, "us", {"eu"}));
    eu.desk.take_over("", eu.at.id(), "eu");
    REQUIRE(knows_home(us, "", eu.at.id()));
    part(eu, us, "eu", "us");
    while (us.at.status().peers.at(0).up) std::this_thread::yield();
    us.desk.take_over("", us.at.id(), "us");                      // an operator's order
    CHECK(eu.desk.claim("bob", "bob-of-eu", patience).granted()); // eu has not heard of it
    CHECK(us.desk.claim("bob", "bob-of-us", patience).granted());
    CHECK(eu.desk.claim("ann", "ann-1", patience).granted());
    CHECK(us.desk.claim("ann", "ann-1", patience).granted()); // the same owner: no conflict

    std::atomic<int> told{0};
    const auto watching = [&](const change& c) {
        for (const auto& v : c.noted.values) told += v.how == conflict_choice::all_kept;
    };
    auto at_eu = eu.at.subscribe(watching, true);
    eu.at.connect("us");
    us.at.connect("eu");
    REQUIRE(contested(eu, "bob"));
    REQUIRE(contested(us, "bob"));
    CHECK(eu.at.wait_until([&](const auto&) { return told > 0; }, patience));
    for (auto* o : {&eu, &us}) {
        CHECK(o->desk.conflicts() == std::vector<std::string>{"bob"});
        CHECK(o->desk.of("bob").front().owner == "bob-of-us"); // of the newer home
    }
    REQUIRE(knows_home(eu, "bob", us.at.id())); // it has learned that it is not the home any more
    const auto honoured = eu.desk.claim("bob", "bob-of-us", patience);
    CHECK(honoured.granted());
    CHECK(honoured.others == std::vector<std::string>{"bob-of-eu"});
    CHECK(to_string(honoured) == "granted to bob-of-us, contested by bob-of-eu");
    CHECK(eu.desk.claim("bob", "bob-of-eu", patience).status == claim_status::taken);
    CHECK(eu.desk.release("bob", "bob-of-eu", patience).status == claim_status::taken); // not before it is decided

    CHECK(us.desk.decide("bob", "nobody", patience).others.size() == 1);
    CHECK(eu.desk.decide("bob", "bob-of-eu", patience).granted());
    CHECK(eu.desk.conflicts().empty());
    CHECK(us.at.wait_until([&](const claims& c) { return c.conflicts().empty() && c.owner("bob") == "bob-of-eu"; },
                           patience));
}

TEST_CASE("home: an operation that throws has changed nothing, and who asked is told") {
    memory_network network;
    const auto homes_of = [](auto& all) -> auto& { return all.homes; };
    const auto book = [](claims& all, transaction& tx, const std::string& key, std::span<const std::byte> what) {
        all.claim_here(tx, key, "half");
        if (what.empty()) throw std::runtime_error("nothing was booked");
        return std::vector<std::byte>(what.begin(), what.end());
    };
    leader<claims> eu(options(network, "eu", {"us"})), us(options(network, "us", {"eu"}));
    home_router at_eu(eu, "booking", homes_of, book), at_us(us, "booking", homes_of, book);
    at_eu.take_over("12", eu.id(), "eu");
    REQUIRE(us.wait_until([](const claims& c) { return c.homes.of("12A").has_value(); }, patience));
    for (auto* at : {&at_eu, &at_us}) {
        const auto r = at->run("12A", {}, patience);
        CHECK(r.status == home_status::refused);
        CHECK(to_string(r) == "refused by the home \"eu\": nothing was booked");
    }
    CHECK(eu.read([](const claims& c) { return c.of("12A").empty(); }));
    const auto bytes = encode(std::uint64_t{7});
    const auto r = at_us.run("12A", bytes, patience);
    CHECK(r.done());
    CHECK(r.answer == bytes);
    CHECK(us.read([](const claims& c) { return c.owner("12A"); }) == "half");
    CHECK(at_us.run("13A", bytes, patience).status == home_status::no_home);
}

TEST_CASE("home: an answer that nobody could be sent is refused, and nothing has changed") {
    memory_network network;
    const auto homes_of = [](auto& all) -> auto& { return all.homes; };
    const auto book = [](claims& all, transaction& tx, const std::string& key, std::span<const std::byte> what) {
        all.claim_here(tx, key, "somebody");
        if (what.empty()) throw std::runtime_error(std::string(100'000, 'x'));
        return std::vector<std::byte>(100'000);
    };
    leader<claims> eu(options(network, "eu", {"us"})), us(options(network, "us", {"eu"}));
    home_router at_eu(eu, "booking", homes_of, book), at_us(us, "booking", homes_of, book);
    at_eu.take_over("", eu.id(), "eu");
    REQUIRE(us.wait_until([](const claims& c) { return c.homes.of("").has_value(); }, patience));
    for (auto* at : {&at_eu, &at_us}) {
        CHECK(at->run("12A", encode(std::uint64_t{7}), patience).reason == "its answer is too great: 100000 bytes");
        CHECK(at->run("12A", {}, patience).reason.find("xxx") == 0);
    }
    CHECK(eu.read([](const claims& c) { return c.of("12A").empty(); }));

    // Owners are as long as whoever claims for them likes.
    registrar desk_eu(eu), desk_us(us);
    eu.disconnect("us");
    us.disconnect("eu");
    for (const auto* at : {&eu, &us})
        REQUIRE(
            test_support::comes([&] { return std::ranges::none_of(at->status().peers, &peer_status::up); }, patience));
    eu.write([](claims& c, transaction& tx) {
        c.granted.at(tx, "12A")->set(tx, {std::string(40'000, 'a'), 1, tx.replica()});
    });
    us.write([](claims& c, transaction& tx) {
        c.granted.at(tx, "12A")->set(tx, {std::string(40'000, 'b'), 1, tx.replica()});
    });
    eu.connect("us");
    us.connect("eu");
    REQUIRE(eu.wait_until([](const claims& c) { return c.of("12A").size() == 2; }, patience));
    CHECK(desk_us.claim("12A", "c", patience).status == claim_status::unavailable);
    CHECK(desk_us.claim("12B", "c", patience).granted()); // the home goes on
}

TEST_CASE("home: what was granted before is not told again before it is durable") {
    struct quick : leader<claims> { // asks nobody for its id, as the node may be busy
        replica_id own;
        explicit quick(node_options o) : leader<claims>(std::move(o)), own(leader<claims>::id()) {}
        replica_id id() const { return own; }
    };
    memory_network network;
    memory_disk disk;
    const auto slow = std::make_shared<gate>();
    auto o = options(network, "eu", {});
    o.storage = std::make_unique<gated_storage>(disk.open(), slow);
    const quick eu(std::move(o));
    registrar desk(eu);
    desk.take_over("", eu.id(), "eu");
    slow->close();
    std::thread first([&] { CHECK(desk.claim("bob", "bob-1", patience).granted()); });
    slow->await_visitor();
    std::atomic<bool> told{false};
    std::thread second([&] {
        CHECK(desk.claim("bob", "bob-1", patience).granted());
        told = true;
    });
    std::this_thread::sleep_for(soon);
    CHECK_FALSE(told);
    slow->open();
    first.join();
    second.join();
}

TEST_CASE("home: of several attempts an earlier one may have been carried out, whatever is said to the last") {
    struct scripted : leader<claims> { // the answer to the first attempt was lost
        using leader<claims>::leader;
        bool again = false;
        std::vector<request_result> request(const std::string&, const std::vector<outgoing_request>&,
                                            std::chrono::milliseconds) const {
            const detail::home_verdict v{
                static_cast<std::uint8_t>(detail::home_verdict::kind::not_ready), {}, "no", {}};
            return {{.answer = encode(v), .sent = true, .again = again}};
        }
    };
    memory_network network;
    scripted us(options(network, "us", {}));
    us.write([](claims& c, transaction& tx) { c.homes.appoint(tx, "", replica_id{7}, "eu"); });
    CHECK(registrar(us).claim("bob", "bob-1", 0ms).status == claim_status::unavailable);
    us.again = true;
    CHECK(registrar(us).claim("bob", "bob-1", 0ms).status == claim_status::unknown);
}

TEST_CASE("home: an order to hand over that may have been carried out does not take back a later one") {
    struct scripted : leader<claims> { // the answer is lost, and others go on
        using leader<claims>::leader;
        std::uint64_t next = 0;
        std::vector<request_result> request(const std::string&, const std::vector<outgoing_request>&,
                                            std::chrono::milliseconds) {
            write([&](claims& c, transaction& tx) {
                c.homes.appoint(tx, "", replica_id{8}, "us");
                if (next) c.homes.appoint(tx, "", replica_id{next}, "asia");
            });
            return {{.answer = {}, .sent = true}};
        }
    };
    const auto homes_of = [](auto& all) -> auto& { return all.homes; };
    const auto nothing = [](claims&, transaction&, const std::string&, std::span<const std::byte>) {
        return std::vector<std::byte>();
    };
    for (const std::uint64_t later : {0, 9}) {
        memory_network network;
        scripted at(options(network, "here", {}));
        at.next = later;
        at.write([](claims& c, transaction& tx) { c.homes.appoint(tx, "", replica_id{7}, "eu"); });
        home_router router(at, "booking", homes_of, nothing);
        const auto r = router.hand_over("", replica_id{8}, "us", patience);
        CHECK(r.status == (later ? home_status::unknown : home_status::done));
        CHECK(at.read([](const claims& c) { return c.homes.of("")->name; }) == (later ? "asia" : "us"));
    }
}

// ---- rights ----

namespace {

using counters = or_map<std::string, bounded_counter>;
constexpr auto by_key = [](counters& all, transaction& tx, const std::string& key, auto&& f) {
    all.update(tx, key, f);
};

struct warehouse {
    leader<counters> at;
    rights_exchange<leader<counters>, decltype(by_key)> stock;
    explicit warehouse(node_options o) : at(std::move(o)), stock(at, by_key) {}

    void deliver(std::uint64_t n) {
        at.write([&](counters& all, transaction& tx) { all.at(tx, "tea")->increment(tx, n); });
    }
    std::uint64_t left() const {
        return at.read([](const counters& all) { return all.contains("tea") ? all.find("tea")->value() : 0; });
    }
    std::uint64_t rights_of(replica_id who) const {
        return at.read([&](const counters& all) { return all.find("tea")->rights(who); });
    }
    bool sees_rights(replica_id who, std::uint64_t n) const {
        return at.wait_until([&](const counters& all) { return all.find("tea")->rights(who) == n; }, patience);
    }
    bool sees(std::uint64_t n) const {
        return at.wait_until([&](const counters& all) { return all.contains("tea") && all.find("tea")->value() == n; },
                             patience);
    }
};

} // namespace

TEST_CASE("rights: come to who needs them, from several if they must, down to the last") {
    memory_network network;
    warehouse a(options(network, "a", {"b", "c"})), b(options(network, "b", {"a", "c"})),
        c(options(network, "c", {"a", "b"}));
    a.deliver(30), b.deliver(10);
    for (auto* w : {&a, &b, &c}) REQUIRE(w->sees(40));
    CHECK(c.stock.decrement("tea", 5, patience).complete);
    CHECK(c.rights_of(a.at.id()) + c.rights_of(b.at.id()) + c.rights_of(c.at.id()) == 35);
    CHECK(c.stock.decrement("tea", 35, patience).complete); // all that there is
    for (auto* w : {&a, &b, &c}) CHECK(w->sees(0));
    const auto none = a.stock.decrement("tea", 1, soon);
    CHECK_FALSE(none.complete);
    CHECK(none.available == 0);
    CHECK(none.elsewhere == 0);
    CHECK_FALSE(a.stock.decrement("coffee", 1, 0ms).complete);
    CHECK_FALSE(a.at.read([](const counters& all) { return all.contains("coffee"); }));
}

TEST_CASE("rights: one who has much keeps half of it") {
    memory_network network;
    warehouse a(options(network, "a", {"b"})), b(options(network, "b", {"a"}));
    a.deliver(100);
    REQUIRE(b.sees(100));
    CHECK(b.stock.reserve("tea", 50, patience).complete);
    CHECK(b.rights_of(b.at.id()) == 50);
    CHECK(b.stock.reserve("tea", 60, patience).complete); // the ten that were missing
    CHECK(b.rights_of(a.at.id()) == 40);
}

TEST_CASE("rights: those that are away are not waited for where others have enough") {
    memory_network network;
    auto a = std::make_unique<warehouse>(options(network, "a", {"b", "c"}));
    warehouse b(options(network, "b", {"a", "c"})), c(options(network, "c", {"a", "b"}));
    a->deliver(30), b.deliver(20);
    REQUIRE(c.sees(50));
    REQUIRE(b.sees(50));
    const auto away = a->at.id();
    a.reset();
    CHECK(c.stock.decrement("tea", 20, patience).complete); // all that b had
    const auto r = c.stock.decrement("tea", 1, 1s);
    CHECK_FALSE(r.complete);
    CHECK(r.elsewhere == 30);
    CHECK(r.available == 0);
    CHECK(std::find(r.missing.begin(), r.missing.end(), away) != r.missing.end());
}

TEST_CASE("rights: two that want more than half each do not keep them from each other for ever") {
    memory_network network;
    warehouse a(options(network, "a", {"b", "c"})), b(options(network, "b", {"a", "c"})),
        c(options(network, "c", {"a", "b"}));
    a.deliver(4), b.deliver(4), c.deliver(4);
    for (auto* w : {&a, &b, &c}) REQUIRE(w->sees(12));
    std::atomic<int> sold{0};
    std::vector<std::thread> customers;
    for (auto* w : {&a, &b}) customers.emplace_back([&, w] { sold += w->stock.decrement("tea", 8, 1s).complete; });
    for (auto& t : customers) t.join();
    CHECK(sold == 1);
    CHECK(c.sees(4));
}

TEST_CASE("rights: who waits longer keeps what it has, and gives it up when it does not wait any more") {
    memory_network network;
    auto away = std::make_unique<warehouse>(options(network, "away", {"a", "b"}));
    warehouse a(options(network, "a", {"away", "b"})), b(options(network, "b", {"away", "a"}));
    a.deliver(4), b.deliver(4), away->deliver(4);
    for (auto* w : {&a, &b}) REQUIRE(w->sees(12));
    away.reset();
    const auto id = a.at.id();
    std::thread waiting([&] { CHECK_FALSE(a.stock.reserve("tea", 9, 3s).complete); }); // within reach are eight
    CHECK(b.sees_rights(id, 8));
    CHECK_FALSE(b.stock.decrement("tea", 1, soon).complete);
    waiting.join();
    CHECK(b.stock.decrement("tea", 1, patience).complete);
    CHECK(b.stock.decrement("tea", 7, patience).complete);
}

TEST_CASE("rights: for more than there is nobody gives anything up") {
    memory_network network;
    warehouse a(options(network, "a", {"b"})), b(options(network, "b", {"a"}));
    a.deliver(4), b.deliver(4);
    for (auto* w : {&a, &b}) REQUIRE(w->sees(8));
    const auto r = a.stock.decrement("tea", 9, soon);
    CHECK_FALSE(r.complete);
    CHECK(r.available == 4);
    CHECK(r.elsewhere == 4);
    CHECK(b.rights_of(b.at.id()) == 4);
    std::thread late([&] { b.deliver(1); });
    CHECK(a.stock.decrement("tea", 9, patience).complete);
    late.join();
}

TEST_CASE("rights: nothing is oversold by many that want them at once, and nothing stays over") {
    memory_network network;
    std::vector<std::unique_ptr<warehouse>> all;
    const std::vector<std::string> names{"a", "b", "c", "d"};
    for (const auto& name : names) all.push_back(std::make_unique<warehouse>(options(network, name, names)));
    all[0]->deliver(100);
    for (auto& w : all) REQUIRE(w->sees(100));
    std::atomic<int> sold{0};
    std::vector<std::thread> customers;
    for (std::size_t t = 0; t < 8; ++t)
        customers.emplace_back([&, t] {
            for (int i = 0; i < 13; ++i) sold += all[t % 4]->stock.decrement("tea", 1, 1s).complete;
        });
    for (auto& c : customers) c.join();
    CHECK(sold == 100);
    for (auto& w : all) CHECK(w->sees(0));
}

TEST_CASE("rights: what else belongs to the sale is in the same edit") {
    memory_network network;
    leader<bounded_counter> alone(options(network, "a", {}));
    rights_exchange stock(alone);
    alone.write([](auto& c, auto& tx) { c.increment(tx, 5); });
    CHECK(stock.decrement(2, 0ms).complete);
    CHECK_THROWS_AS(
        stock.decrement("", 1, 0ms,
                        [](bounded_counter&, transaction&) { throw std::runtime_error("the card is refused"); }),
        std::runtime_error);
    CHECK(alone.read([](const auto& c) { return c.value(); }) == 3);
    const auto r = stock.decrement(4, 0ms);
    CHECK_FALSE(r.complete);
    CHECK(r.available == 3);
}

TEST_CASE("homes: a forged last epoch does not end all appointments") {
    replica<homes> forger{replica_id{1}}, a{replica_id{2}}, b{replica_id{3}};
    forger.edit([](homes& h, transaction& tx) { h.appoint(tx, "", tx.replica(), "forger"); });
    // As it would write it with another program: the register is that of `homes`.
    or_map<std::string, max_register<home>> raw;
    replica<or_map<std::string, max_register<home>>> writer{replica_id{4}};
    const auto d = writer.edit([](auto& m, transaction& tx) {
        m.at(tx, "")->merge(tx, home{UINT64_MAX, replica_id{4}, "forger"});
    });
    const auto forged = decode<delta<homes>>(encode(d));
    REQUIRE(forged);
    a.join(*forged);
    b.join(*forged);
    REQUIRE(a->of("key")->node == replica_id{4});
    b.join(a.edit([](homes& h, transaction& tx) { h.appoint(tx, "", tx.replica(), "a"); }));
    CHECK(a->of("key")->node == a.id());
    CHECK(b->of("key") == a->of("key"));
    // With a longer prefix too, and again after that.
    a.join(*forged);
    b.join(a.edit([](homes& h, transaction& tx) { h.appoint(tx, "", replica_id{9}, "nine"); }));
    CHECK(b->of("key")->name == "nine");
    CHECK(b->of("key")->epoch == 2);
    replica<homes> c{replica_id{5}};
    c.join(*forged);
    c.edit([](homes& h, transaction& tx) { h.appoint(tx, "k", tx.replica(), "c"); });
    CHECK(c->of("key")->node == c.id());
    CHECK(c->of("x")->node == replica_id{4});
}
