// SPDX-License-Identifier: Apache-2.0
// A leader of a chaos run: chaos_leader NAME LISTEN PUBLISH FILE LEVEL PEERS [small] [bug=NAME]. It takes a command in
// each line of its input, starts all of them at once, and ends each answer with a line that begins with the command's
// number. Lines that begin with `-` are not asked for: `- ready ID`, `- refused REASON`, and log lines.

#include "planted.hpp"
#include "workloads.hpp"

#include <joinery/zmq_transport.hpp>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <sstream>
#include <thread>

#include <sys/prctl.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using namespace joinery::chaos;

void say(const std::string& line) {
    static std::mutex mutex;
    std::lock_guard lock(mutex);
    const std::string whole = line + '\n';
    for (std::size_t sent = 0; sent < whole.size();) {
        const auto n = write(STDOUT_FILENO, whole.data() + sent, whole.size() - sent);
        if (n > 0) sent += static_cast<std::size_t>(n);
        if (n < 0 && errno != EINTR) std::_Exit(2); // nobody listens any more
    }
}

std::atomic<std::int64_t> skew{0}; // milliseconds

struct arguments {
    std::string name, listen, publish, file, level;
    std::size_t peers = 1;
    bool small = false;
};

joinery::node_options options_of(const arguments& a) {
    joinery::zmq_options z;
    z.listen = a.listen;
    z.publish = a.publish;
    z.insecure = true;
    // Losses are to be noticed within the time that a round may take.
    z.heartbeat = 200ms;
    z.handshake = 2000ms;
    z.reconnect_max = 500ms;
    joinery::node_options n;
    n.name = a.name;
    n.transport = tampered(joinery::zmq_transport(z));
    const auto level = a.level == "full" ? joinery::durability::full : joinery::durability::relaxed;
    n.storage = tampered(joinery::sqlite_storage(a.file, level));
    n.expected_peers = a.peers;
    n.wall = [] { return joinery::system_milliseconds() + static_cast<std::uint64_t>(skew.load()); };
    n.timings.beacon = 200ms;
    n.timings.audit = 1000ms;
    n.timings.prune = 100ms;
    n.timings.tidy = 2000ms;
    n.timings.peer_timeout = 1000ms;
    n.timings.max_backoff = 1000ms;
    if (a.small) { // every cap is met, and logs are compacted all the time
        n.limits.batch = 512;
        n.limits.chunk = 1024;
        n.limits.window = 4096;
        n.limits.buffer = 4096;
        n.limits.log_minimum = 4096;
    }
    n.on_event = [](const joinery::event& e) {
        if (e.kind == joinery::event_kind::new_id) plant_in(e.peer);
    };
    n.log = [](const joinery::log_line& line) { say("- " + joinery::logfmt(line)); };
    return n;
}

class chaos_leader {
public:
    explicit chaos_leader(const arguments& a, bool wrong_text)
        : node_(options_of(a)), boards_(open_workloads(node_, wrong_text)) {
        plant_in(node_.id());
        say("- ready " + joinery::to_string(node_.id()));
    }

    void execute(const std::string& line) {
        std::istringstream in(line);
        std::string number, command;
        in >> number >> command;
        try {
            for (auto& b : boards_)
                if (b->name() == command)
                    return say(number + ' ' + b->perform(request_of(std::stoull(number), in), [&](const auto& seen) {
                        say(number + ' ' + seen);
                    }));
            say(number + " ok" + control(command, in));
        } catch (const std::exception& e) {
            say(number + " failed " + e.what());
        }
        if (command == "quit") std::_Exit(0);
    }

private:
    joinery::node node_;
    std::vector<std::unique_ptr<workload>> boards_;

    static request request_of(std::uint64_t number, std::istream& in) {
        request r;
        r.number = number;
        in >> r.action;
        for (std::string word; in >> word;) {
            const auto value = word.substr(word.find('=') + 1);
            if (word.starts_with("acks="))
                r.acknowledgements = std::stoul(value);
            else if (word.starts_with("answers="))
                r.answers = std::stoul(value);
            else if (word.starts_with("session="))
                r.session = value;
            else
                r.arguments.push_back(word);
        }
        return r;
    }

    std::string control(const std::string& command, std::istream& in) {
        std::string word;
        in >> word;
        if (command == "status") return status();
        if (command == "connect")
            node_.connect(word);
        else if (command == "skew")
            skew = std::stoll(word);
        else if (command == "evict")
            node_.evict(joinery::replica_id{std::stoull(word, nullptr, 16)});
        else if (command == "take-new-id")
            return ' ' + joinery::to_string(node_.take_new_id());
        else if (command == "quit")
            node_.close();
        else
            throw std::invalid_argument("unknown command " + command);
        return "";
    }

    std::string status() const {
        const auto s = node_.status();
        std::string up, held = "0", versions, digests;
        for (const auto& p : s.peers)
            if (p.up) up += (up.empty() ? "" : ",") + p.name;
        for (const auto& c : s.collections) {
            if (c.held) held = "1";
            versions += c.name + '{';
            for (const auto& [replica, seq] : c.version)
                versions += joinery::to_string(replica) + ':' + std::to_string(seq) + ',';
            versions += '}';
        }
        for (const auto& b : boards_) digests += std::to_string(b->digest()) + ',';
        std::string out = " id=" + joinery::to_string(s.id) + " up=" + (up.empty() ? "-" : up) + " held=" + held +
                          " failed=" + (s.failure.empty() ? '0' : '1') +
                          " conflict=" + (s.identity_conflict ? '1' : '0') + " versions=" + versions +
                          " digests=" + digests;
        for (const auto& [name, n] : s.counters) out += ' ' + name + '=' + std::to_string(n);
        return out;
    }
};

} // namespace

int main(int argc, char** argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); // frozen leaders, too, end with who started them
    std::signal(SIGXFSZ, SIG_IGN);    // a file that may not grow is an error of write
    if (argc < 7) return 2;
    arguments a{argv[1], argv[2], argv[3], argv[4], argv[5], std::stoul(argv[6])};
    auto bug = planted_bug::none;
    for (int i = 7; i < argc; ++i) {
        const std::string_view word = argv[i];
        a.small |= word == "small";
        if (!word.starts_with("bug=")) continue;
        const auto named = bug_of(word.substr(4));
        if (!named) return 2;
        bug = *named;
    }
    plant(bug);
    try {
        static chaos_leader leader(a, bug == planted_bug::plain_stability);
        for (std::string line; std::getline(std::cin, line);) std::thread([line] { leader.execute(line); }).detach();
    } catch (const std::exception& e) {
        say(std::string("- refused ") + e.what());
        std::_Exit(3);
    }
    std::_Exit(0);
}
