// SPDX-License-Identifier: Apache-2.0
// Keys: the files they are in, the addresses they stand in, and leaders that prove them.
#include <joinery/joinery.hpp>
#include <joinery/keys.hpp>
#include <joinery/leader.hpp>
#include <joinery/metrics.hpp>
#include <joinery/zmq_transport.hpp>

#include "zmq_peers.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <mutex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

using namespace zmq_tests;
using joinery::key_pair;
using joinery::link_security;
using joinery::peer_key;

namespace {

void write(const std::filesystem::path& path, const std::string& text, mode_t mode = 0600) {
    std::ofstream(path, std::ios::binary) << text;
    REQUIRE(::chmod(path.c_str(), mode) == 0);
}

std::string text_of(const std::filesystem::path& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

std::string refusal(const std::filesystem::path& path) {
    try {
        joinery::load_keys(path.string());
    } catch (const std::runtime_error& e) {
        const std::string what = e.what();
        CHECK(what.starts_with("keys: " + path.string() + ": "));
        CHECK(what.find('\n') == std::string::npos);
        return what;
    }
    FAIL("it was loaded");
    return {};
}

bool equal(const key_pair& a, const key_pair& b) {
    return a.public_half() == b.public_half() && std::ranges::equal(a.secret_half(), b.secret_half());
}

using cart = joinery::or_set<std::string>;

/// A leader whose transport has keys, and what it logged.
struct keyed_leader {
    std::mutex mutex;
    std::set<std::string> logged;
    joinery::leader<cart> it;

    keyed_leader(const std::string& name, zmq_options o) : it(options(name, std::move(o)), "cart") {}
    joinery::node_options options(const std::string& name, zmq_options o) {
        joinery::node_options n;
        n.name = name;
        n.transport = zmq_transport(std::move(o));
        n.log = [this](const joinery::log_line& line) {
            std::lock_guard lock(mutex);
            logged.emplace(line.event);
        };
        return n;
    }
    void add(const std::string& what) {
        it.write([&](cart& c, auto& tx) { c.add(tx, what); });
    }
    bool gets(const std::string& what) {
        return it.wait_until([&](const cart& c) { return c.contains(what); }, std::chrono::seconds(30));
    }
    bool has_logged(const std::string& event) {
        std::lock_guard lock(mutex);
        return logged.contains(event);
    }
};

} // namespace

TEST_CASE("keys: a file holds a pair, for its owner only") {
    folder files;
    const auto path = files.path / "eu.key";
    const auto keys = key_pair::generate();
    const mode_t before = ::umask(0);
    joinery::save_keys(keys, path.string());
    ::umask(before);
    struct stat about {};
    REQUIRE(::stat(path.c_str(), &about) == 0);
    CHECK((about.st_mode & 07777) == 0600);
    CHECK(equal(joinery::load_keys(path.string()), keys));
    CHECK(equal(key_pair(keys.secret_half()), keys));
    CHECK(text_of(path).starts_with("joinery key pair 1\n"));
    CHECK(text_of(path).find("public " + to_string(keys.public_half()) + "\n") != std::string::npos);
    CHECK_FALSE(equal(key_pair::generate(), keys));

    const auto text = text_of(path);
    CHECK_THROWS_WITH_AS(joinery::save_keys(key_pair::generate(), path.string()), doctest::Contains("File exists"),
                         std::runtime_error);
    CHECK(text_of(path) == text);
    CHECK_THROWS_WITH_AS(joinery::save_keys(keys, (files.path / "no/eu.key").string()),
                         doctest::Contains("No such file"), std::runtime_error);
}

TEST_CASE("keys: a file that others can use, or that is not one, is refused in one line") {
    folder files;
    const auto path = files.path / "eu.key";
    CHECK(refusal(path).find("No such file") != std::string::npos);
    joinery::save_keys(key_pair::generate(), path.string());
    const std::string text = text_of(path);
    for (const mode_t mode : {0640, 0604, 0620, 0602, 0610, 0601, 0660, 0644, 0777}) {
        CAPTURE(mode);
        write(path, text, mode);
        CHECK(refusal(path).find("others than its owner") != std::string::npos);
    }
    write(path, text, 0600);
    if (::chown(path.c_str(), 12345, 12345) == 0) { // only root can
        CHECK(refusal(path).find("another user") != std::string::npos);
        REQUIRE(::chown(path.c_str(), ::geteuid(), ::getegid()) == 0);
    }
    write(path, "joinery key pair 1\r\n\r\n# a remark\r\n" + text.substr(text.find("public")), 0400);
    CHECK_NOTHROW(joinery::load_keys(path.string()));
    REQUIRE(::chmod(path.c_str(), 0600) == 0);

    const std::string one = text.substr(text.find("public"), 72), other = text.substr(text.find("secret"), 72);
    const std::string head = "joinery key pair 1\n";
    auto changed = [](std::string s, std::size_t at, char to) { return s[at] = to, s; };
    const std::vector<std::string> bad = {"",
                                          "\n",
                                          head,
                                          "joinery key pair 2\n" + one + other,
                                          text.substr(0, text.size() / 2),
                                          one + other,
                                          head + one,
                                          head + other,
                                          head + one + one,
                                          head + other + other,
                                          head + one + other + other,
                                          head + one + other + "x\n",
                                          head + one + changed(other, 9, 'g'),
                                          head + one + changed(other, 9, '-'),
                                          head + one + changed(other, 9, '\0'),
                                          head + one + other.substr(0, 70),
                                          head + one + "secret " + other,
                                          head + one + " " + other,
                                          head + changed(one, 9, one[9] == '0' ? '1' : '0') + other,
                                          text + std::string(5000, '\n'),
                                          std::string(1 << 20, 'x')};
    for (const auto& contents : bad) {
        CAPTURE(contents.substr(0, 300));
        write(path, contents);
        CHECK_FALSE(refusal(path).empty());
    }
    for (std::size_t size = 0; size + 1 < text.size(); ++size) { // cut off, but for the last line's end
        write(path, text.substr(0, size));
        CHECK_FALSE(refusal(path).empty());
    }
    CHECK_FALSE(refusal(files.path).empty()); // a folder
    REQUIRE(::mkfifo((files.path / "pipe").c_str(), 0600) == 0);
    CHECK(refusal(files.path / "pipe").find("not a regular file") != std::string::npos);
}

TEST_CASE("zmq_transport: with keys, frames go both ways and each side knows whose they are") {
    folder files;
    const std::string listen = any_address(files, "keys");
    if (listen.empty()) return;
    CAPTURE(listen);

    const party pa, pb, stranger;
    test_node a = node(pa.options({pb.key(), stranger.key()}, listen));
    CHECK(a.net->address().ends_with("#" + to_string(pa.key())));
    test_node b = node(pb.options({pa.key()}, {}, {a.net->address()}));
    CHECK(b.net->address().empty());
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    a.broadcast("broadcast by a");
    CHECK(b.send(b.link(), "b to a"));
    CHECK(a.send(a.link(), "a to b"));
    REQUIRE(eventually({&a, &b}, [&] { return b.got("broadcast by a") && a.got("b to a") && b.got("a to b"); }));
    CHECK(a.net->key_of(a.link()) == pb.key());
    CHECK(b.net->key_of(b.link()) == pa.key());
    CHECK(b.net->key_of(b.link() + 1000) == std::nullopt);
    CHECK(a.net->security() == link_security::encrypted);
    CHECK(a.net->stats().refused_handshakes + b.net->stats().refused_handshakes == 0);
    CHECK(a.net->stats().dropped + b.net->stats().dropped == 0);
    CHECK(a.seen.violations + b.seen.violations == 0);
}

TEST_CASE("zmq_transport: without keys nobody has proved anything") {
    test_node a = node(any_port);
    test_node b = node({}, {a.net->address()});
    REQUIRE(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
    CHECK(a.net->key_of(a.link()) == std::nullopt);
    CHECK(b.net->key_of(b.link()) == std::nullopt);
    CHECK(a.net->security() == link_security::local);
    a.net->admit({});
    CHECK_FALSE(eventually(
        {&a, &b}, [&] { return !a.link() || !b.link(); }, milliseconds(100)));
    auto o = quick();
    o.insecure = true;
    CHECK(node(o).net->security() == link_security::insecure);
}

TEST_CASE("zmq_transport: options with keys name what is wrong with them") {
    const party p, q;
    const std::string key = "#" + to_string(q.key());
    auto refused = [&](const char* with, auto change) {
        auto o = p.options({q.key()}, any_port);
        change(o);
        CAPTURE(with);
        CHECK_THROWS_WITH_AS(zmq_transport(o), doctest::Contains(with), std::invalid_argument);
    };
    refused("has no key", [](auto& o) { o.peers = {"tcp://127.0.0.1:7001"}; });
    refused("64 hexadecimal digits", [](auto& o) { o.peers = {"tcp://127.0.0.1:7001#"}; });
    refused("64 hexadecimal digits", [&](auto& o) { o.peers = {"tcp://127.0.0.1:7001" + key + "0"}; });
    refused("64 hexadecimal digits", [&](auto& o) { o.peers = {"tcp://127.0.0.1:7001" + key.substr(0, 64)}; });
    refused("64 hexadecimal digits", [&](auto& o) { o.peers = {"tcp://127.0.0.1:7001" + key + key}; });
    refused("has no valid port", [&](auto& o) { o.peers = {"tcp://127.0.0.1:x" + key}; });
    refused("neither", [&](auto& o) { o.peers = {key}; });
    refused("zmq_options::listen", [&](auto& o) { o.listen = "tcp://127.0.0.1:*" + key; });
    refused("zmq_options::listen", [](auto& o) { o.listen = "ipc://*"; });
    refused("zmq_options::handshake", [](auto& o) { o.handshake = milliseconds(30'001); });
    refused("there are no zmq_options::keys", [&](auto& o) {
        o.keys.reset(), o.admitted.clear();
        o.peers = {"tcp://127.0.0.1:7001" + key};
    });
    refused("zmq_options::admitted", [](auto& o) { o.keys.reset(); });
    test_node n = node(p.options({q.key()}));
    CHECK_THROWS_WITH_AS(n.net->connect("tcp://127.0.0.1:7001"), doctest::Contains("has no key"),
                         std::invalid_argument);
    CHECK_NOTHROW(n.net->connect("ipc:///nonexistent/x" + key));

    // Other machines are no matter of `insecure`.
    CHECK(node(p.options({}, "tcp://*:*")).net->address().starts_with("tcp://0.0.0.0:"));
    CHECK_NOTHROW(node(p.options({q.key()}, {}, {"tcp://192.0.2.1:7001" + key})));
}

TEST_CASE("zmq_transport: an address waits until its key is admitted") {
    const party pa, pb;
    test_node a = node(pa.options({pb.key()}, any_port));
    test_node b = node(pb.options({}, {}, {a.net->address()}));
    CHECK_FALSE(eventually(
        {&a, &b}, [&] { return a.link() || b.link(); }, milliseconds(100)));
    CHECK(a.net->stats().refused_handshakes == 0); // it was not even dialled
    b.net->admit({pa.key()});
    CHECK(eventually({&a, &b}, [&] { return a.link() && b.link(); }));
}

TEST_CASE("leader: two and three with keys converge, and say that they are encrypted") {
    const party pa, pb, pc;
    const std::vector<peer_key> all{pa.key(), pb.key(), pc.key()};
    keyed_leader a("a", pa.options(all, any_port));
    keyed_leader b("b", pb.options(all, any_port, {a.it.address()}));
    a.add("of a");
    b.add("of b");
    REQUIRE(a.gets("of b"));
    REQUIRE(b.gets("of a"));
    keyed_leader c("c", pc.options(all, any_port, {a.it.address(), b.it.address()}));
    c.add("of c");
    for (auto* l : {&a, &b, &c}) {
        for (const char* what : {"of a", "of b", "of c"}) REQUIRE(l->gets(what));
        const auto s = l->it.status();
        CHECK(s.security == link_security::encrypted);
        CHECK(s.counters.at("transport_refused_handshakes") == 0);
        CHECK_FALSE(l->has_logged("transport_insecure"));
    }
}

TEST_CASE("leader: one whose frames may leave the machine in plaintext says so") {
    auto o = quick(any_port);
    o.insecure = true;
    keyed_leader a("a", o), b("b", quick(any_port));
    for (auto* l : {&a, &b}) {
        l->add("something");
        REQUIRE(l->gets("something"));
        CHECK(l->it.status().security == (l == &a ? link_security::insecure : link_security::local));
        const auto text = joinery::prometheus_text(l->it.status());
        const auto metric = text.substr(text.find("\njoinery_node_insecure") + 1);
        CHECK(metric.substr(0, metric.find('\n')).ends_with(l == &a ? " 1" : " 0"));
        l->it.close();
        CHECK(l->has_logged("node_stopped"));
        CHECK(l->has_logged("transport_insecure") == (l == &a));
    }
}
