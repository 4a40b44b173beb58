// SPDX-License-Identifier: Apache-2.0
#include <joinery/metrics.hpp>

#include <joinery/leader.hpp>
#include <joinery/memory_transport.hpp>
#include <joinery/mv_register.hpp>

#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;

namespace {

using label_set = std::map<std::string, std::string>;

struct family {
    std::string type, help;
    std::map<label_set, std::string> samples;
};

// Reads the text format, version 0.0.4, and accepts nothing that it does not have to.
class scrape {
public:
    std::map<std::string, family> families;
    std::vector<std::string> order;

    explicit scrape(const std::string& text) {
        REQUIRE(!text.empty());
        REQUIRE(text.back() == '\n');
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            INFO(line);
            if (line.starts_with("# HELP "))
                help(line.substr(7));
            else if (line.starts_with("# TYPE "))
                type(line.substr(7));
            else
                sample(line);
        }
    }
    /// The value of the one sample with these labels among its labels.
    std::string value(const std::string& name, const label_set& some = {}) const {
        INFO(name);
        REQUIRE(families.contains(name));
        std::vector<std::string> found;
        for (const auto& [labels, value] : families.at(name).samples)
            if (std::includes(labels.begin(), labels.end(), some.begin(), some.end())) found.push_back(value);
        REQUIRE(found.size() == 1);
        return found.front();
    }

private:
    // Each family once: HELP, TYPE, and then its samples.
    void help(const std::string& rest) {
        const auto blank = rest.find(' ');
        REQUIRE(blank != std::string::npos);
        const auto name = rest.substr(0, blank);
        static const std::regex valid("joinery_[a-z][a-z0-9_]*");
        REQUIRE(std::regex_match(name, valid));
        REQUIRE_FALSE(families.contains(name));
        families[name].help = rest.substr(blank + 1);
        CHECK(families[name].help.find('\\') == std::string::npos);
        CHECK(families[name].help.ends_with('.'));
        order.push_back(name);
    }
    void type(const std::string& rest) {
        REQUIRE(!order.empty());
        const auto& name = order.back();
        auto& f = families[name];
        REQUIRE(f.type.empty());
        REQUIRE(f.samples.empty());
        f.type = rest.substr(name.size() + 1);
        REQUIRE(rest == name + ' ' + f.type);
        REQUIRE((f.type == "counter" || f.type == "gauge"));
        CHECK(name.ends_with("_total") == (f.type == "counter"));
    }
    void sample(const std::string& line) {
        REQUIRE(!order.empty());
        const auto& name = order.back();
        REQUIRE(line.starts_with(name + '{'));
        std::size_t at = name.size() + 1;
        label_set labels;
        for (;;) {
            const auto equals = line.find("=\"", at);
            REQUIRE(equals != std::string::npos);
            const auto key = line.substr(at, equals - at);
            static const std::regex valid("[a-z_]+");
            REQUIRE(std::regex_match(key, valid));
            std::string value;
            for (at = equals + 2; at < line.size() && line[at] != '"'; ++at) {
                if (line[at] != '\\') {
                    value += line[at];
                    continue;
                }
                REQUIRE(++at < line.size());
                REQUIRE((line[at] == 'n' || line[at] == '"' || line[at] == '\\'));
                value += line[at] == 'n' ? '\n' : line[at];
            }
            REQUIRE(at + 1 < line.size());
            REQUIRE(labels.emplace(key, value).second);
            if (line[++at] == '}') break;
            REQUIRE(line[at++] == ',');
        }
        REQUIRE(line[++at] == ' ');
        const auto value = line.substr(at + 1);
        static const std::regex number("[0-9]+(\\.[0-9]{3})?");
        REQUIRE(std::regex_match(value, number));
        REQUIRE(labels.contains("node"));
        REQUIRE(families[name].samples.emplace(labels, value).second); // no sample twice
    }
};

node_status full_status() {
    node_status s;
    s.id = replica_id{0xa};
    s.name = "eu";
    s.address = "tcp://127.0.0.1:7001";
    s.level = durability::full;
    s.clock_rejections = 3;
    s.greatest_skew = 61'500;
    for (const auto* name : {"carts", "notes"}) s.collections.emplace_back().name = name;
    s.collections[0].version = {{replica_id{1}, 40}, {replica_id{2}, 2}};
    s.collections[0].buffered_bytes = 900;
    s.collections[1].siblings_seen = 5;
    s.collections[1].siblings_resolved = 4;
    auto& p = s.peers.emplace_back();
    p.id = replica_id{0xb};
    p.name = "us";
    p.up = true;
    p.silence = 1205ms;
    p.bytes_in = 10'000'000'000;
    p.versions.resize(2);
    p.shares = {true, false};
    p.behind = {7, 42};
    p.lag = {90'061'007ms, 0ms};
    s.counters = {{"updates_buffered", 9}, {"transport_bytes_in", UINT64_MAX}, {"some-later one", 1}};
    return s;
}

} // namespace

TEST_CASE("metrics: what the status says, in base units") {
    const auto text = prometheus_text(full_status());
    const scrape m(text);
    CHECK(m.value("joinery_node_info", {{"node", "eu"},
                                        {"id", "000000000000000a"},
                                        {"durability", "full"},
                                        {"address", "tcp://127.0.0.1:7001"}}) == "1");
    CHECK(m.value("joinery_node_running") == "1");
    CHECK(m.value("joinery_clock_rejections_total") == "3");
    CHECK(m.value("joinery_clock_greatest_skew_seconds") == "61.500");
    CHECK(m.value("joinery_peer_up", {{"peer", "us"}, {"peer_id", "000000000000000b"}}) == "1");
    CHECK(m.value("joinery_peer_silence_seconds") == "1.205");
    CHECK(m.value("joinery_peer_received_bytes_total") == "10000000000");
    CHECK(m.value("joinery_peer_behind_edits", {{"peer", "us"}, {"collection", "carts"}}) == "7");
    CHECK(m.value("joinery_peer_lag_seconds") == "90061.007"); // none for what the peer does not share
    CHECK(m.value("joinery_collection_edits", {{"collection", "carts"}}) == "42");
    CHECK(m.value("joinery_collection_buffered_bytes", {{"collection", "carts"}}) == "900");
    CHECK(m.value("joinery_siblings_seen_total", {{"collection", "notes"}}) == "5");
    CHECK(m.value("joinery_siblings_resolved_total", {{"collection", "notes"}}) == "4");
    CHECK(m.value("joinery_updates_buffered_total") == "9");
    CHECK(m.value("joinery_transport_received_bytes_total") == "18446744073709551615");
    CHECK(m.value("joinery_some_later_one_total") == "1");
    CHECK(prometheus_text(full_status()) == text);
}

TEST_CASE("metrics: names cannot leave their labels, and peers of one name are told apart") {
    auto s = full_status();
    s.name = "";
    s.peers[0].name = "us\"} 1\njoinery_peer_up{node=\"\\\xff\xc3\xa9";
    s.peers.push_back(s.peers[0]);
    s.peers[1].id = replica_id{0xc};
    const scrape m(prometheus_text(s));
    CHECK(m.value("joinery_peer_up", {{"node", "000000000000000a"},
                                      {"peer_id", "000000000000000c"},
                                      {"peer", "us\"} 1\njoinery_peer_up{node=\"\\\xef\xbf\xbd\xc3\xa9"}}) == "1");
}

TEST_CASE("metrics: those of a live node are all in the documentation, and the other way round") {
    memory_network network;
    const auto start = [&](const std::string& name, const std::string& peer) {
        node_options o;
        o.name = name;
        o.transport = network.make(name, {peer});
        return leader<mv_register<int>>(std::move(o));
    };
    auto a = start("a", "b"), b = start("b", "a");
    const auto token = a.write([](auto& r, auto& tx) { r.set(tx, 1); }).token();
    REQUIRE(b.sync_to(token, 20s));
    const write_options acknowledged{.acknowledgements = 1, .timeout = 20s};
    REQUIRE(b.write([](auto& r, auto& tx) { r.set(tx, 2); }, acknowledged).complete); // so they know each other
    const scrape m(prometheus_text(b.status()));
    CHECK(m.value("joinery_peer_up", {{"peer", "a"}}) == "1");
    CHECK(m.value("joinery_updates_received_total") != "0");
    CHECK(m.value("joinery_peer_received_bytes_total", {{"peer", "a"}}) != "0");

    std::ifstream file(JOINERY_SOURCE_ROOT "/docs/operations.md");
    REQUIRE(file);
    const std::string page{std::istreambuf_iterator<char>(file), {}};
    std::set<std::string> documented;
    const std::regex name("`(joinery_[a-z0-9_]+)`");
    for (std::sregex_iterator at(page.begin(), page.end(), name), end; at != end; ++at) documented.insert((*at)[1]);
    CHECK(documented == std::set<std::string>(m.order.begin(), m.order.end()));
}
