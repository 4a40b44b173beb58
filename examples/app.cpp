// SPDX-License-Identifier: Apache-2.0
#include "app.hpp"

#include <joinery/keys.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <optional>
#include <utility>

#include <unistd.h>

namespace app {

namespace {

const char* const option_help =
    "  --name NAME       this leader's name, for people\n"
    "  --listen ADDRESS  where others dial it, such as tcp://127.0.0.1:7001; default: any free port\n"
    "  --peer ADDRESS    where another leader listens; may be repeated\n"
    "  --keys FILE       this leader's keys, which are made if there is no such file. Then all is encrypted, nobody "
    "is\n"
    "                    let in but who is admitted, and addresses end in '#' and the key of who listens there\n"
    "  --admit KEY       another leader's key; KEY=read: its changes are not taken. May be repeated\n"
    "  --data FILE       the SQLite file that keeps everything; without it, all is lost at the end\n"
    "  --insecure        allow addresses on other machines; nothing is encrypted\n"
    "  -c COMMAND        run a command instead of reading any; may be repeated\n"
    "  --answers         end the answer to each command with a line, `ok` or `error: ...`, for programs\n"
    "  -- WORD...        run these words as one command\n";

std::string quoted(const std::string& word) {
    std::string out = "\"";
    for (char c : word) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
}

// The library speaks of its options to programmers; people at a terminal know ours.
std::string in_our_words(std::string message) {
    const std::pair<std::string_view, std::string_view> words[] = {{"zmq_options::listen", "--listen"},
                                                                   {"zmq_options::peers", "--peer"},
                                                                   {"zmq_options::insecure", "--insecure"},
                                                                   {"zmq_options::keys", "--keys"},
                                                                   {"sqlite_storage: ", ""}};
    for (const auto& [theirs, ours] : words)
        for (std::size_t at = 0; (at = message.find(theirs, at)) != std::string::npos; at += ours.size())
            message.replace(at, theirs.size(), ours);
    return message;
}

joinery::peer_key to_key(const std::string& word) {
    if (const auto key = joinery::peer_key::parse(word)) return *key;
    throw command_error(quoted(word) + " is no public key of 64 hexadecimal digits");
}

joinery::access_right to_right(const std::string& word) {
    using enum joinery::access_right;
    for (const auto right : {read, write})
        if (joinery::to_string(right) == word) return right;
    throw command_error(quoted(word) + " is neither read nor write");
}

// ---- commands that every application has ----

// The last connection whose keys did not fit, which the node's thread logs.
struct {
    std::mutex mutex;
    std::string text;
} last_refused;

bool has_everything(const joinery::node_status& s, const joinery::peer_status& p) {
    for (std::size_t i = 0; i < s.collections.size(); ++i)
        if (i >= p.versions.size() || p.versions[i] != s.collections[i].version) return false;
    return true;
}

void show_status(const joinery::node_status& s, std::ostream& out) {
    const char* level[] = {"in memory only", "safe from a crash", "safe from a power cut"};
    out << s.name << ", id " << joinery::to_string(s.id) << ", listens at " << s.address << ", writes are "
        << level[static_cast<int>(s.level)] << '\n';
    if (!s.failure.empty()) out << "stopped: " << s.failure << '\n';
    if (s.identity_conflict)
        out << "another live leader has the same id (was its file copied?): writes are refused until `new-id`\n";
    if (s.peers.empty()) out << "no other leader has been heard of\n";
    const auto any = [](const std::vector<bool>& all) { return std::find(all.begin(), all.end(), true) != all.end(); };
    for (const auto& p : s.peers) {
        out << "  " << (p.name.empty() ? joinery::to_string(p.id) : p.name) << ": "
            << (!p.up                  ? "not connected"
                : has_everything(s, p) ? "connected, equal"
                                       : "connected, differs");
        if (any(p.quarantined)) out << "; what it has written is not taken here";
        if (any(p.refuses)) out << "; it does not take what is written here";
        if (p.key) out << "; key " << joinery::to_string(*p.key);
        out << '\n';
    }
    std::lock_guard lock(last_refused.mutex);
    if (!last_refused.text.empty()) out << "refused: " << last_refused.text << '\n';
}

// From now on this key has this right; none: it is a stranger.
void grant(joinery::node& node, const joinery::peer_key& key, std::optional<joinery::access_right> right) {
    auto access = node.access();
    if (!access) throw command_error("this leader was started without --keys, so it lets in everybody");
    std::erase_if(access->peers, [&](const auto& p) { return p.key == key; });
    if (right) access->peers.push_back({.key = key, .rights = *right});
    node.set_access(std::move(*access));
}

// Waits until as many peers as were dialled are connected and have what is here.
void wait_for_peers(joinery::node& node, std::size_t peers, std::chrono::seconds limit, std::ostream& out) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    std::mutex m;
    std::condition_variable never; // acknowledgements are not announced: the status is looked at now and then
    std::unique_lock lock(m);
    for (;;) {
        const auto s = node.status();
        const auto equal =
            std::count_if(s.peers.begin(), s.peers.end(), [&](const auto& p) { return p.up && has_everything(s, p); });
        const auto up = std::count_if(s.peers.begin(), s.peers.end(), [](const auto& p) { return p.up; });
        if (static_cast<std::size_t>(equal) >= peers && equal == up) {
            out << "equal with " << equal << (equal == 1 ? " other leader\n" : " other leaders\n");
            return;
        }
        if (std::chrono::steady_clock::now() >= deadline)
            throw command_error("equal with " + std::to_string(equal) + " of " + std::to_string(peers) +
                                " other leaders after " + std::to_string(limit.count()) +
                                " s; what is here stays and reaches them later");
        never.wait_for(lock, std::chrono::milliseconds(10));
    }
}

std::vector<command> common_commands(joinery::node& node, std::size_t& peers) {
    return {
        {"status", "", "this leader and the others", 0, 0,
         [&node](words, std::ostream& out) { show_status(node.status(), out); }},
        {"sync", "[SECONDS]", "wait until the others have all that is here, and the other way round", 0, 1,
         [&node, &peers](words w, std::ostream& out) {
             const std::size_t seconds = w.empty() ? 10 : to_number(w[0], "SECONDS", 0);
             wait_for_peers(node, std::max<std::size_t>(peers, 1),
                            std::chrono::seconds(std::min<std::size_t>(seconds, 86400)), out);
         }},
        {"address", "", "where others dial this leader", 0, 0,
         [&node](words, std::ostream& out) { out << node.address() << '\n'; }},
        {"connect", "ADDRESS", "dial another leader", 1, 1,
         [&node, &peers](words w, std::ostream&) {
             node.connect(w[0]);
             ++peers;
         }},
        {"disconnect", "ADDRESS", "stop dialling it", 1, 1,
         [&node, &peers](words w, std::ostream&) {
             node.disconnect(w[0]);
             if (peers) --peers;
         }},
        {"admit", "KEY [read]", "let in a leader with this key; with `read`, its changes are not taken", 1, 2,
         [&node](words w, std::ostream&) {
             grant(node, to_key(w[0]), w.size() > 1 ? to_right(w[1]) : joinery::access_right::write);
         }},
        {"revoke", "KEY", "let it in no more", 1, 1,
         [&node](words w, std::ostream&) { grant(node, to_key(w[0]), std::nullopt); }},
        {"new-id", "", "go on under a new identity, after the data file was copied", 0, 0,
         [&node](words, std::ostream& out) { out << "id " << joinery::to_string(node.take_new_id()) << '\n'; }},
    };
}

void show_help(const std::vector<command>& all, std::ostream& out) {
    std::size_t width = 0;
    auto usage = [](const command& c) { return c.arguments.empty() ? c.name : c.name + ' ' + c.arguments; };
    for (const auto& c : all) width = std::max(width, usage(c).size());
    for (const auto& c : all) {
        const std::string u = usage(c);
        out << "  " << u << std::string(width - u.size() + 2, ' ') << c.help << '\n';
    }
    out << "  help" << std::string(width - 2, ' ') << "this list\n"
        << "  quit" << std::string(width - 2, ' ') << "store what is pending and leave\n"
        << "Words with blanks go in double quotes.\n";
}

// ---- the loop ----

class shell {
public:
    shell(const options& o, std::vector<command> commands) : options_(o), commands_(std::move(commands)) {}

    /// False if a command failed.
    bool run() {
        if (!options_.commands.empty()) {
            for (const auto& line : options_.commands)
                if (!execute(line)) break;
            return good_;
        }
        const bool prompt = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
        if (prompt) std::cout << "`help` lists the commands\n";
        std::string line;
        for (;;) {
            if (prompt) std::cout << options_.name << "> " << std::flush;
            if (!std::getline(std::cin, line)) {
                if (prompt) std::cout << '\n';
                break;
            }
            if (!execute(line)) break;
        }
        return good_ || prompt;
    }

private:
    const options& options_;
    std::vector<command> commands_;
    bool good_ = true;

    // False if that was the last command.
    bool execute(std::string_view line) {
        try {
            const auto all = split_words(line);
            if (!all.empty()) {
                if (all[0] == "quit") return false;
                if (all[0] == "help")
                    show_help(commands_, std::cout);
                else
                    dispatch(all);
            }
            if (options_.answers) std::cout << "ok\n";
        } catch (const joinery::identity_conflict& e) {
            fail(std::string(e.what()) + "; `new-id` ends this");
        } catch (const joinery::node_closed& e) {
            fail(e.what());
            std::cout.flush();
            return false;
        } catch (const std::exception& e) {
            fail(e.what());
        }
        std::cout.flush();
        return true;
    }

    void dispatch(words all) {
        const auto c =
            std::find_if(commands_.begin(), commands_.end(), [&](const auto& x) { return x.name == all[0]; });
        if (c == commands_.end()) throw command_error("unknown command " + quoted(all[0]) + "; `help` lists them");
        const auto given = all.subspan(1);
        if (given.size() < c->least || given.size() > c->most)
            throw command_error("usage: " + c->name + (c->arguments.empty() ? "" : " ") + c->arguments);
        c->run(given, std::cout);
    }

    void fail(const std::string& what) {
        good_ = false;
        const std::string message = in_our_words(what);
        if (options_.answers)
            std::cout << "error: " << message << '\n';
        else
            std::cerr << "error: " << message << '\n';
    }
};

} // namespace

options parse_options(int argc, const char* const* argv) {
    options o;
    for (int i = 1; i < argc; ++i) {
        const std::string option = argv[i];
        auto value = [&]() -> std::string {
            if (++i >= argc) throw std::invalid_argument(option + " needs a value");
            return argv[i];
        };
        if (option == "--name") {
            o.name = value();
        } else if (option == "--listen") {
            o.listen = value();
        } else if (option == "--peer") {
            o.peers.push_back(value());
        } else if (option == "--keys") {
            o.keys = value();
            if (o.keys.empty()) throw std::invalid_argument("--keys: the name of the file is empty");
        } else if (option == "--admit") {
            const std::string word = value();
            const auto end = std::min(word.find('='), word.size());
            try {
                o.admitted.push_back({.key = to_key(word.substr(0, end))});
                if (end != word.size()) o.admitted.back().rights = to_right(word.substr(end + 1));
            } catch (const command_error& e) {
                throw std::invalid_argument("--admit: " + std::string(e.what()));
            }
        } else if (option == "--data") {
            o.data = value();
            if (o.data.empty()) throw std::invalid_argument("--data: the name of the file is empty");
        } else if (option == "--insecure") {
            o.insecure = true;
        } else if (option == "--answers") {
            o.answers = true;
        } else if (option == "-c") {
            o.commands.push_back(value());
        } else if (option == "--help" || option == "-h") {
            o.help = true;
        } else if (option == "--") {
            std::string line;
            while (++i < argc) line += (line.empty() ? "" : " ") + quoted(argv[i]);
            if (line.empty()) throw std::invalid_argument("-- needs a command after it");
            o.commands.push_back(line);
        } else {
            throw std::invalid_argument("unknown option " + quoted(option));
        }
    }
    if (!o.admitted.empty() && o.keys.empty()) throw std::invalid_argument("--admit needs --keys");
    return o;
}

std::vector<std::string> split_words(std::string_view line) {
    std::vector<std::string> out;
    bool inside = false, quotes = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
        char c = line[i];
        if (!quotes && (c == ' ' || c == '\t' || c == '\r')) {
            inside = false;
            continue;
        }
        if (!inside) out.emplace_back();
        inside = true;
        if (c == '"') {
            quotes = !quotes;
            continue;
        }
        if (quotes && c == '\\' && i + 1 < line.size()) {
            c = line[++i];
            if (c == 'n') c = '\n';
        }
        out.back() += c;
    }
    if (quotes) throw command_error("a double quote has no end");
    return out;
}

std::size_t to_number(const std::string& word, std::string_view what, std::size_t least) {
    std::size_t n = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), n);
    if (error != std::errc() || end != word.data() + word.size() || n < least)
        throw command_error(std::string(what) + ": " + quoted(word) + " is not a whole number from " +
                            std::to_string(least) + " on");
    return n;
}

joinery::node start(const options& o) {
    joinery::node_options n;
    n.name = o.name;
    // A restarted leader first hears what the others know of it, then publishes: from all of them if it can.
    n.expected_peers = std::max<std::size_t>(o.peers.size(), 1);
    if (!o.data.empty()) n.storage = joinery::sqlite_storage(o.data);
    joinery::zmq_options z;
    z.listen = o.listen;
    z.peers = o.peers;
    z.insecure = o.insecure;
    if (!o.keys.empty()) {
        if (!std::filesystem::exists(o.keys)) joinery::save_keys(joinery::key_pair::generate(), o.keys);
        z.keys = joinery::load_keys(o.keys);
        n.access = joinery::access_policy{.peers = o.admitted};
        n.log = [](const joinery::log_line& line) {
            if (line.event != "refused") return;
            std::lock_guard lock(last_refused.mutex);
            last_refused.text = line.fields.back().value;
        };
    }
    n.transport = joinery::zmq_transport(z);
    return joinery::node(std::move(n));
}

int run(const description& about, int argc, const char* const* argv,
        const std::function<std::vector<command>(joinery::node&, const options&)>& open) {
    options o;
    try {
        o = parse_options(argc, argv);
    } catch (const std::invalid_argument& e) {
        std::cerr << about.program << ": " << e.what() << "; see " << about.program << " --help\n";
        return 2;
    }
    if (o.help) {
        std::cout << about.program << ": " << about.purpose << "\n\nusage: " << about.program << " [OPTION]...\n\n"
                  << option_help << "\nRun one in each of several terminals. `help` lists the commands.\n";
        return 0;
    }
    try {
        joinery::node node = start(o);
        std::size_t peers = o.peers.size();
        auto commands = open(node, o);
        for (auto& c : common_commands(node, peers)) commands.push_back(std::move(c));
        const bool good = shell(o, std::move(commands)).run();
        node.close();
        return good ? 0 : 1;
    } catch (const std::exception& e) {
        std::cerr << about.program << ": " << in_our_words(e.what()) << '\n';
        return 1;
    }
}

} // namespace app
