// SPDX-License-Identifier: Apache-2.0
// Keys: two leaders whose connection is encrypted, and on which each has proved who it is. A third that is not admitted
// hears nothing, and one that is admitted no more loses its links.

#include <joinery/joinery.hpp>
#include <joinery/keys.hpp>
#include <joinery/leader.hpp>
#include <joinery/zmq_transport.hpp>

#include <chrono>
#include <filesystem>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using set = joinery::or_set<std::string>;

namespace {

joinery::leader<set> start(const std::string& name, const std::string& key_file,
                           const std::vector<joinery::peer_key>& admitted, const std::vector<std::string>& peers) {
    joinery::zmq_options net;
    net.listen = "tcp://127.0.0.1:*"; // with keys, an address that other machines reach is as good
    net.keys = joinery::load_keys(key_file);
    net.admitted = admitted;
    net.peers = peers; // each ends in '#' and the peer's key
    joinery::node_options options;
    options.name = name;
    options.transport = joinery::zmq_transport(net);
    return joinery::leader<set>(std::move(options), "cart");
}

/// As `joinery keygen FILE` does.
joinery::peer_key make_keys(const std::string& file) {
    auto keys = joinery::key_pair::generate();
    joinery::save_keys(keys, file);
    return keys.public_half();
}

bool has(const joinery::leader<set>& l, const std::string& what, std::chrono::milliseconds time) {
    return l.wait_until([&](const set& cart) { return cart.contains(what); }, time);
}

} // namespace

int main() {
    auto folder = std::filesystem::temp_directory_path() / ("joinery-keys-" + std::to_string(std::random_device{}()));
    std::filesystem::create_directory(folder);
    auto file = [&](const char* name) { return (folder / name).string(); };
    auto eu_key = make_keys(file("eu.key")), us_key = make_keys(file("us.key")), spy_key = make_keys(file("spy.key"));

    bool ok = false;
    {
        auto eu = start("eu", file("eu.key"), {us_key}, {});
        auto us = start("us", file("us.key"), {eu_key}, {eu.address()});
        auto spy = start("spy", file("spy.key"), {eu_key}, {eu.address()});
        std::cout << "eu listens at tcp://127.0.0.1:PORT#KEY, " << eu.address().size() << " characters\n";

        eu.write([](set& cart, auto& tx) { cart.add(tx, "milk"); });
        bool told = has(us, "milk", 10s), overheard = has(spy, "milk", 200ms);
        std::cout << "us " << (told ? "has" : "lacks") << " milk, and the spy " << (overheard ? "has" : "lacks")
                  << " it\n";

        // A key that was lost: from now on whoever holds it is a stranger.
        auto refused = [&] { return eu.status().counters["transport_refused_handshakes"]; };
        for (int i = 0; i < 1000 && refused() == 0; ++i) std::this_thread::sleep_for(10ms); // until the spy has tried
        eu.admit({spy_key}); // us is not; the spy has talked its way in
        bool let_in = has(spy, "milk", 10s);
        eu.write([](set& cart, auto& tx) { cart.add(tx, "bread"); });
        bool follows = has(spy, "bread", 10s), cut_off = !has(us, "bread", 200ms);
        std::cout << "after the exchange us " << (cut_off ? "lacks" : "has") << " bread; "
                  << (refused() > 0 ? "some" : "no") << " handshakes were refused\n";
        ok = told && !overheard && let_in && follows && cut_off && refused() > 0;
    }
    std::filesystem::remove_all(folder);
    std::cout << (ok ? "" : "WRONG\n");
    return ok ? 0 : 1;
}
