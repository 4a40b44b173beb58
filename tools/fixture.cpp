// SPDX-License-Identifier: Apache-2.0

// What the tool's test needs: leaders that are told in lines what to do, and files that no leader would write.
//
//     fixture leader NAME FILE [KEY]
//                                 prints its address; then lines: add E, remove E, type TEXT, sell N, connect ADDRESS,
//                                 until N (elements of carts), close
//     fixture forge FILE E...     a collection "carts" whose edits 00..01:1, 2, ... added these elements

#include "shop.hpp"

#include <joinery/leader.hpp>
#include <joinery/or_set.hpp>
#include <joinery/rga_text.hpp>
#include <joinery/zmq_transport.hpp>

#ifdef JOINERY_SODIUM
#include <joinery/encrypted_storage.hpp>
#endif

#include <iostream>
#include <string>

namespace {

// With a file of keys, the rest are the keys that are admitted.
int lead(const std::string& name, const std::string& file, const std::string& key_file,
         const std::vector<std::string>& keys) {
    joinery::node_options options;
    options.name = name;
    joinery::zmq_options net{.listen = "tcp://127.0.0.1:*"};
    for (const auto& key : keys) {
        if (!net.keys)
            net.keys = joinery::load_keys(key);
        else
            net.admitted.push_back(joinery::peer_key::parse(key).value());
    }
    options.transport = joinery::zmq_transport(std::move(net));
    options.storage = joinery::sqlite_storage(file);
#ifdef JOINERY_SODIUM
    if (!key_file.empty())
        options.storage =
            joinery::encrypted_storage(std::move(options.storage), joinery::storage_key::from_file(key_file));
#else
    if (!key_file.empty()) return 77;
#endif
    joinery::node node(std::move(options));
    auto carts = node.open<joinery::or_set<std::string>>("carts");
    auto notes = node.open<joinery::rga_text>("notes");
    auto shops = node.open<shop>("shop");
    std::cout << node.address() << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        const auto space = line.find(' ');
        const auto what = line.substr(0, space);
        const auto rest = space == line.npos ? std::string() : line.substr(space + 1);
        if (what == "add") carts.write([&](auto& c, auto& tx) { c.add(tx, rest); });
        if (what == "remove") carts.write([&](auto& c, auto& tx) { c.remove(tx, rest); });
        if (what == "type") notes.write([&](auto& t, auto& tx) { t.insert(tx, t.size(), rest); });
        if (what == "sell") shops.write([&](auto& s, auto& tx) { s.sold.increment(tx, std::stoi(rest)); });
        if (what == "connect") node.connect(rest);
        if (what == "until" &&
            !carts.wait_until([&](const auto& c) { return c.size() == std::stoul(rest); }, std::chrono::seconds(60))) {
            std::cout << "it did not come" << std::endl;
            return 1;
        }
        if (what == "sync") { // a member has all of it: nothing is on its way any more
            carts.write([&](auto& c, auto& tx) { c.add(tx, rest); }, {.acknowledgements = 1});
            notes.write([&](auto& t, auto& tx) { t.insert(tx, 0, "."); }, {.acknowledgements = 1});
        }
        if (what == "close") break;
        std::cout << "ok" << std::endl;
    }
    node.close();
    return 0;
}

int forge(const std::string& file, const std::vector<std::string>& elements) {
    joinery::replica<joinery::or_set<std::string>> author(joinery::replica_id{1});
    for (const auto& e : elements) author.edit([&](auto& c, auto& tx) { c.add(tx, e); });
    const auto type = joinery::fingerprint<joinery::or_set<std::string>>();
    auto disk = joinery::sqlite_storage(file);
    disk->load();
    disk->set_id(joinery::replica_id::random());
    joinery::frame_writer snapshot;
    const auto state = joinery::encode(author.state().whole());
    joinery::compact_output_archive ar(snapshot.body());
    ar.varint(state.size());
    ar.raw(state.data(), state.size());
    disk->compact(disk->attach("carts", type),
                  snapshot.close(joinery::frame_kind::snapshot, joinery::name_digest("carts"), type));
    disk->close();
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "leader" && argc == 4) return lead(argv[2], argv[3], "", {});
    if (what == "leader" && argc == 5) return lead(argv[2], argv[3], argv[4], {});
    if (what == "keyed" && argc > 4) return lead(argv[2], argv[3], "", {argv + 4, argv + argc});
    if (what == "forge" && argc > 2) return forge(argv[2], {argv + 3, argv + argc});
    std::cerr << "what?\n";
    return 2;
}
