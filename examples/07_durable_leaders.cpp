// SPDX-License-Identifier: Apache-2.0
// Leaders with files and sockets: what they have outlives the process, and they find each other by address.
// Here two of them live in one process; examples/shopping_cart.cpp has one per process.
//
// Link with joinery-sqlite and joinery-zmq; in CMake:
//     find_package(joinery REQUIRED COMPONENTS sqlite zmq)
//     target_link_libraries(program joinery::joinery joinery::sqlite joinery::zmq)

#include <joinery/leader.hpp>
#include <joinery/or_set.hpp>
#include <joinery/storage.hpp>
#include <joinery/zmq_transport.hpp>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

using namespace std::chrono_literals;
using set = joinery::or_set<std::string>;

joinery::leader<set> start(const std::string& name, const std::string& peer, const std::string& file) {
    joinery::zmq_options sockets;
    sockets.listen = "tcp://127.0.0.1:*"; // any free port; a leader that is to be found gets a fixed one
    if (!peer.empty()) sockets.peers = {peer};
    joinery::node_options options;
    options.name = name;
    options.transport = joinery::zmq_transport(sockets);
    options.storage = joinery::sqlite_storage(file); // a write returns when it is on the disk
    options.log = [](const joinery::log_line& line) { std::clog << joinery::logfmt(line) + '\n'; };
    return joinery::leader<set>(std::move(options), "cart");
}

int main() {
    auto pattern = (std::filesystem::temp_directory_path() / "joinery-XXXXXX").string();
    const std::filesystem::path folder = mkdtemp(pattern.data());
    bool ok = true;
    try {
        {
            auto eu = start("eu", "", folder / "eu.db");
            auto us = start("us", eu.address(), folder / "us.db");
            auto token = eu.write([](set& cart, auto& tx) { cart.add(tx, "milk"); }).token();
            ok = us.sync_to(token, 10s) && us.read([](const set& cart) { return cart.contains("milk"); });
        } // both are closed; their files stay
        auto again = start("us", "", folder / "us.db");
        ok = ok && again.read([](const set& cart) { return cart.contains("milk"); });
        std::cout << (ok ? "us still has milk\n" : "WRONG\n");
    } catch (const std::exception& e) { // storage_error, node_closed, identity_conflict, or a bad address
        std::cout << e.what() << '\n';
        ok = false;
    }
    std::filesystem::remove_all(folder);
    return ok ? 0 : 1;
}
