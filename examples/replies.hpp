// SPDX-License-Identifier: Apache-2.0
#pragma once

// Commands that say how far a leader has got, which programs use that drive several of them.

#include "app.hpp"

#include <joinery/leader.hpp>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

namespace app {

/// A version as one word, `replica:number,...` in hexadecimal, and back. Throws command_error.
std::string to_word(const joinery::version_vector& v);
joinery::version_vector to_version(const std::string& word);
/// Sixteen hexadecimal digits.
std::string to_word(std::uint64_t digest);

/// Waits until the leader has everything in `version`, and asks nobody for it. False if the time ran out.
template <class T>
bool wait_for(joinery::leader<T>& leader, const joinery::version_vector& version, std::chrono::milliseconds limit) {
    std::mutex m;
    std::condition_variable changed;
    auto watch = leader.subscribe([&](const joinery::change&) {
        std::lock_guard lock(m);
        changed.notify_all();
    });
    std::unique_lock lock(m); // a change after the look below notifies only once we wait
    return changed.wait_for(lock, limit, [&] { return version.within(leader.version()); });
}

/// Adds `digest`, `version` and `await` for one collection.
template <class T> void add_state_commands(std::vector<command>& commands, joinery::leader<T> leader) {
    const std::string what = leader.name();
    commands.push_back({"digest", "", "a number that is equal where the " + what + " are equal", 0, 0,
                        [leader](words, std::ostream& out) {
                            out << to_word(leader.read([](const joinery::causal<T>& s) { return s.digest(); })) << '\n';
                        }});
    commands.push_back({"version", "", "what has been seen of the " + what, 0, 0,
                        [leader](words, std::ostream& out) { out << to_word(leader.version()) << '\n'; }});
    commands.push_back(
        {"await", "VERSION [SECONDS]", "wait until this has been seen", 1, 2, [leader](words w, std::ostream&) mutable {
             const std::size_t seconds = w.size() > 1 ? to_number(w[1], "SECONDS", 0) : 10;
             if (!wait_for(leader, to_version(w[0]), std::chrono::seconds(seconds)))
                 throw command_error("not seen after " + std::to_string(seconds) +
                                     " s; seen so far: " + to_word(leader.version()));
         }});
}

} // namespace app
