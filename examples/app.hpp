// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the example applications share: options, a prompt, and a leader with SQLite and ZeroMQ under it. An
// application adds its commands, each a line of words:
//
//     int main(int argc, char** argv) {
//         return app::run({"shopping_cart", "carts that several leaders fill"}, argc, argv,
//                         [](joinery::node& node, const app::options&) { return cart_commands(node); });
//     }
//
// Lines come from a prompt, from -c, from the words after --, or from standard input if it is no terminal.

#include <joinery/node.hpp>
#include <joinery/zmq_transport.hpp>

#include <cstddef>
#include <functional>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace app {

/// A command that cannot be carried out; the message is for the person at the prompt.
struct command_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

using words = std::span<const std::string>;

struct command {
    std::string name;
    std::string arguments; ///< as shown by `help`
    std::string help;
    std::size_t least = 0, most = 0; ///< how many words may follow the name
    std::function<void(words, std::ostream&)> run;
};

struct description {
    std::string program;
    std::string purpose; ///< in half a line
};

/// What a leader is started with.
struct options {
    std::string name = "leader";
    std::string listen = "tcp://127.0.0.1:*";
    std::vector<std::string> peers;
    std::string keys;                           ///< the file of its keys; empty: none
    std::vector<joinery::peer_access> admitted; ///< only with keys
    std::string data;                           ///< the SQLite file; empty: in memory
    bool insecure = false;
    bool help = false;
    bool answers = false;              ///< end the answer to each command with a line, for programs
    std::vector<std::string> commands; ///< instead of standard input
};

/// Throws std::invalid_argument for what is not an option, or lacks its value.
options parse_options(int argc, const char* const* argv);

/// The words of a line: separated by blanks, or in double quotes, in which \" and \\ stand for " and \, and
/// \n for a new line. Throws command_error for quotes that do not end.
std::vector<std::string> split_words(std::string_view line);
/// A whole number of at least `least`. Throws command_error.
std::size_t to_number(const std::string& word, std::string_view what, std::size_t least);

/// Opens the storage, binds the sockets. Throws what these throw.
joinery::node start(const options& o);

/// A whole application; what it returns is for `main`: 0, 1 after a command or the start failed, 2 for
/// options that make no sense. `open` is called once and returns the application's commands.
int run(const description& about, int argc, const char* const* argv,
        const std::function<std::vector<command>(joinery::node&, const options&)>& open);

} // namespace app
