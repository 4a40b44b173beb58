// SPDX-License-Identifier: Apache-2.0
// A leader under siege: siege [MESSAGES] [SEED] [unlimited] [memory]. Two good leaders write all the time and hear of
// each other only by way of a third, a process of its own, while hostile peers with keys and rights send it so many
// messages over real sockets. In turns there is an attack and there is none, so that what else the machine does slows
// both alike. In the end all three good leaders must have everything that was written.
#include "hostile_peer.hpp"
#include "siege.hpp"

#include "../examples/child_process.hpp"
#include "../test_support/scratch_folder.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace siege {
namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr std::size_t attackers = 4;
constexpr std::uint64_t kept = 200;         // items of each leader and collection; older ones are removed
constexpr auto between_writes = 5ms;        // of each good leader
constexpr auto settling = 200ms;            // after the start of a phase: not counted
constexpr double bound = 2;                 // of the medians
constexpr std::uint64_t judged_from = 100'000; // messages: a shorter run says nothing about times

/// How long each edit of one leader took until it could be read at the other.
class journey {
public:
    struct sample {
        steady::time_point began;
        double milliseconds;
    };
    void wrote(std::uint64_t last, steady::time_point began) {
        std::lock_guard lock(mutex_);
        written_.push_back({last, began});
        match();
    }
    void arrived(std::uint64_t upto, steady::time_point at) {
        std::lock_guard lock(mutex_);
        if (!there_.empty() && there_.back().first >= upto) return;
        there_.push_back({upto, at});
        match();
    }
    std::vector<sample> samples() {
        std::lock_guard lock(mutex_);
        return done_;
    }

private:
    using mark = std::pair<std::uint64_t, steady::time_point>;
    std::mutex mutex_;
    std::deque<mark> written_, there_;
    std::vector<sample> done_;

    void match() {
        while (!written_.empty()) {
            const auto& [last, began] = written_.front();
            while (!there_.empty() && there_.front().first < last) there_.pop_front();
            if (there_.empty()) return;
            done_.push_back({began, std::chrono::duration<double, std::milli>(there_.front().second - began).count()});
            written_.pop_front();
        }
    }
};

class good_leader {
public:
    good_leader(std::string name, joinery::node_options o)
        : name_(std::move(name)), node_(std::move(o)), journeys_(collections.size()) {
        for (const auto& c : collections) boards_.push_back(node_.open<board>(c));
    }
    ~good_leader() { rest(); }

    /// From now on what the other writes is timed when it comes here.
    void watch(good_leader& other) {
        for (std::size_t c = 0; c < collections.size(); ++c)
            watches_.push_back(boards_[c].subscribe([this, &other, c, who = other.node_.id()](const joinery::change& x) {
                if (x.remote) other.journeys_[c].arrived(boards_[c].version()[who], steady::now());
            }));
    }
    void write() {
        thread_ = std::thread([this] {
            auto next = steady::now();
            for (std::unique_lock lock(mutex_); !end_; ended_.wait_until(lock, next, [this] { return end_; })) {
                lock.unlock();
                write_one(made_ % collections.size());
                ++made_;
                next = std::max(next + between_writes, steady::now());
                lock.lock();
            }
        });
    }
    void rest() {
        {
            std::lock_guard lock(mutex_);
            end_ = true;
        }
        ended_.notify_all();
        if (thread_.joinable()) thread_.join();
    }

    bool reaches(std::size_t peers) const {
        const auto all = node_.status().peers;
        return static_cast<std::size_t>(std::ranges::count_if(all, [](const auto& p) { return p.up; })) >= peers;
    }
    std::uint64_t counter(const std::string& name) const { return node_.status().counters.at(name); }
    std::vector<journey::sample> samples() {
        std::vector<journey::sample> all;
        for (auto& j : journeys_) std::ranges::copy(j.samples(), std::back_inserter(all));
        return all;
    }
    std::uint64_t written() const { return made_; }
    joinery::leader<board>& at(std::size_t c) { return boards_[c]; }
    std::vector<std::string> digests() const {
        std::vector<std::string> all;
        for (const auto& b : boards_)
            all.push_back(std::to_string(b.read([](const joinery::causal<board>& s) { return s.digest(); })));
        return all;
    }
    /// Items of this leader that ought to be in a board and are not, or are and ought not to be.
    std::uint64_t wrong(const board& b, std::size_t c) const {
        std::uint64_t n = 0;
        const auto all = made_ / collections.size() + (made_ % collections.size() > c);
        for (std::uint64_t i = 0; i < all; ++i) n += b.items.contains(item(i)) != (i + kept >= all);
        return n;
    }

private:
    std::string name_;
    joinery::node node_;
    std::vector<joinery::leader<board>> boards_;
    std::vector<journey> journeys_; // of what is written here
    std::vector<joinery::subscription> watches_;
    std::mutex mutex_;
    std::condition_variable ended_;
    bool end_ = false;
    std::uint64_t made_ = 0;
    std::thread thread_;

    std::string item(std::uint64_t n) const { return name_ + " " + std::to_string(n); }
    void write_one(std::size_t c) {
        const auto n = made_ / collections.size();
        const auto began = steady::now();
        const auto done = boards_[c].write([&](board& b, joinery::transaction& tx) {
            b.items.add(tx, item(n));
            if (n >= kept) b.items.remove(tx, item(n - kept));
            b.notes.set(tx, name_, std::to_string(n));
        });
        journeys_[c].wrote(done.dots->last, began);
    }
};

struct phase {
    bool attack;
    steady::time_point begin, end;
};

struct figures {
    std::size_t n = 0;
    double p50 = 0, p95 = 0, p99 = 0, most = 0; // milliseconds
};

figures figures_of(std::vector<double> all) {
    figures f;
    f.n = all.size();
    if (all.empty()) return f;
    std::ranges::sort(all);
    const auto at = [&](double q) { return all[static_cast<std::size_t>(q * static_cast<double>(all.size() - 1))]; };
    f.p50 = at(0.5);
    f.p95 = at(0.95);
    f.p99 = at(0.99);
    f.most = all.back();
    return f;
}

double load() {
    double l = 0;
    std::ifstream("/proc/loadavg") >> l;
    return l;
}

template <class P> void until(P&& holds, std::chrono::seconds patience, const std::string& otherwise) {
    for (const auto end = steady::now() + patience; !holds(); std::this_thread::sleep_for(20ms))
        if (steady::now() > end) throw std::runtime_error(otherwise);
}

struct setting {
    std::uint64_t messages = 1'000'000, seed = std::random_device{}();
    bool rates = true, storages = true;
};

class siege_run {
public:
    explicit siege_run(setting s) : set_(s) {
        for (auto& k : keys_) k.emplace(joinery::key_pair::generate());
        for (std::size_t i = 0; i < keys_.size(); ++i) joinery::save_keys(*keys_[i], folder_ / ("key" + std::to_string(i)));
        std::vector<std::string> words{"/proc/self/exe", "--leader", "tcp://127.0.0.1:*", file("besieged"),
                                       folder_ / "key0", set_.rates ? "rates" : "unlimited"};
        for (std::size_t i = 1; i < keys_.size(); ++i) {
            if (i == first_hostile) words.emplace_back("-");
            words.push_back(to_string(keys_[i]->public_half()));
        }
        besieged_ = std::make_unique<child_process>(words);
        const auto address = besieged_->ask("address", patience).at(0);
        for (std::size_t i = 0; i < 2; ++i)
            good_.push_back(std::make_unique<good_leader>(i == 0 ? "eu" : "us", options_of(i, address)));
        for (auto& g : good_) until([&] { return g->reaches(1); }, 60s, "the good leaders do not get through");
        for (std::size_t i = first_hostile; i < keys_.size(); ++i)
            hostile_.emplace_back(std::vector<std::string>{"/proc/self/exe", "--attacker", address,
                                                           folder_ / ("key" + std::to_string(i)),
                                                           std::to_string(i - first_hostile), std::to_string(set_.seed)});
    }

    /// What failed; empty: nothing.
    std::string run() {
        const bool judged = set_.messages >= judged_from;
        const auto before = memory();
        cap_ = memory_cap(limits(true), sockets(*keys_[0], {}), 2 + 2 * attackers, before.at(0));
        std::printf("%llu messages from %zu hostile peers, seed %llu, rates %s, storages %s; load %.2f\n",
                    number(set_.messages), attackers, number(set_.seed), set_.rates ? "2000 messages, 4 MiB a second" : "none",
                    set_.storages ? "SQLite, full" : "none", load());
        good_[0]->watch(*good_[1]);
        good_[1]->watch(*good_[0]);
        for (auto& g : good_) g->write();
        const std::uint64_t rounds = judged ? 10 : 2;
        const auto quiet = judged ? 5000ms : 500ms;
        for (std::uint64_t i = 0; i < rounds; ++i) {
            peace(quiet);
            attack(set_.messages * (i + 1) / rounds);
        }
        peace(quiet);
        report_counts();
        for (auto& h : hostile_) {
            h.send("quit");
            h.wait();
        }
        return judge(judged, before);
    }

private:
    static constexpr std::size_t first_hostile = 3;
    static constexpr auto patience = 120s;

    setting set_;
    storage_test::scratch_folder folder_;
    std::array<std::optional<joinery::key_pair>, first_hostile + attackers> keys_;
    std::unique_ptr<child_process> besieged_;
    std::vector<std::unique_ptr<good_leader>> good_;
    std::vector<child_process> hostile_;
    std::vector<phase> phases_;
    std::uint64_t arrived_ = 0; // messages of hostile peers at the leader
    std::size_t cap_ = 0;

    static unsigned long long number(std::uint64_t n) { return n; }
    std::string file(const std::string& name) const { return set_.storages ? folder_ / (name + ".db") : std::string(); }

    joinery::node_options options_of(std::size_t i, const std::string& address) {
        joinery::access_policy policy;
        policy.self.key = keys_[i + 1]->public_half();
        auto& besieged = policy.peers.emplace_back();
        besieged.key = keys_[0]->public_half();
        besieged.rights = joinery::access_right::admin;
        auto z = sockets(*keys_[i + 1], policy.keys());
        z.peers = {address};
        joinery::node_options n;
        n.name = i == 0 ? "eu" : "us";
        n.transport = joinery::zmq_transport(z);
        if (set_.storages) n.storage = joinery::sqlite_storage(file(n.name));
        n.access = std::move(policy);
        return n;
    }
    std::vector<std::size_t> numbers(child_process& of, const std::string& command) {
        std::vector<std::size_t> all;
        for (const auto& line : of.ask(command, patience)) all.push_back(std::stoull(line));
        return all;
    }
    /// In use, most in use, resident, most resident.
    std::vector<std::size_t> memory() { return numbers(*besieged_, "memory"); }
    /// Frames that have come to the leader and not from the good ones.
    std::uint64_t foreign() {
        const auto all = numbers(*besieged_, "counter transport_frames_in").at(0);
        std::uint64_t good = 0; // may be more by now
        for (const auto& g : good_) good += g->counter("transport_frames_out");
        return all - std::min<std::uint64_t>(all, good);
    }
    void peace(std::chrono::milliseconds time) {
        const auto begin = steady::now();
        std::this_thread::sleep_for(time);
        phases_.push_back({false, begin, steady::now()});
    }
    void attack(std::uint64_t upto) {
        for (auto& h : hostile_) h.ask("attack", patience);
        const auto begin = steady::now();
        until([&] { return (arrived_ = foreign()) >= upto; }, 3600s, "the attack does not get through");
        phases_.push_back({true, begin, steady::now()});
        for (auto& h : hostile_) h.ask("rest", patience);
        const auto m = memory();
        std::printf("%9llu messages have arrived; %5.1f MiB in use, at most %5.1f MiB; resident at most %5.1f MiB; load %.2f\n",
                    number(arrived_), mib(m[0]), mib(m[1]), mib(m[3]), load());
        std::fflush(stdout);
        if (m[1] > cap_) throw std::runtime_error("the leader takes more memory than its cap");
    }
    static double mib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

    void report_counts() {
        const auto& kinds = hostile_peer::kinds();
        std::vector<std::uint64_t> sum(kinds.size() + 2);
        for (auto& h : hostile_) {
            const auto counts = numbers(h, "count");
            for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += counts.at(i);
        }
        std::uint64_t mended = 0, changed = 0;
        for (std::size_t i = 0; i < kinds.size(); ++i) {
            std::printf("  %-46s %10llu\n", kinds[i].name, number(sum[i]));
            if (kinds[i].mended) mended += sum[i];
            if (i < 7) changed += sum[i];
        }
        std::printf("sent %llu messages, %.1f MiB, %llu of them real traffic or noise, %llu with corrected checksums\n",
                    number(sum[kinds.size()]), mib(sum[kinds.size() + 1]), number(changed), number(mended));
        const std::vector<const char*> names{"frames_over_rate", "frames_rejected", "denials",          "updates_received",
                                             "updates_applied",  "hellos_received", "beacons_received", "pulls_sent",
                                             "answers_made",     "answers_refused", "transport_dropped"};
        std::string command = "counter";
        for (const auto* n : names) command += std::string(" ") + n;
        const auto values = numbers(*besieged_, command);
        std::printf("the leader: %llu arrived", number(arrived_));
        for (std::size_t i = 0; i < names.size(); ++i) std::printf(", %s %llu", names[i], number(values[i]));
        std::printf("\n");
    }

    std::string judge(bool judged, const std::vector<std::size_t>& before) {
        for (auto& g : good_) g->rest();
        // What was written last is read where it was not written, whatever the dates of the hostile ones.
        good_[0]->at(commons).write([](board& b, joinery::transaction& tx) { b.notes.set(tx, "contested", "good"); });
        const auto same = [&] {
            const auto digests = good_[0]->digests();
            return good_[1]->digests() == digests && besieged_->ask("digest", patience) == digests;
        };
        std::string failed;
        try {
            until(same, 120s, "");
        } catch (const std::runtime_error&) {
            failed += "the good leaders are not equal; ";
        }
        std::uint64_t lost = 0, taken = 0;
        for (auto& reader : good_) {
            for (auto& writer : good_) {
                lost += reader->at(ours).read([&](const board& b) { return writer->wrong(b, ours); });
                taken += reader->at(commons).read([&](const board& b) { return writer->wrong(b, commons); });
            }
            const bool good = reader->at(commons).read([](const board& b) {
                const auto* note = b.notes.find("contested");
                return note && *note == "good";
            });
            if (!good) failed += "a date in the future won over a later write; ";
        }
        if (lost > 0) failed += std::to_string(lost) + " items lost; ";
        std::printf("%llu and %llu writes at the good leaders; %llu lost where only they may write, %llu taken away where "
                    "the hostile ones may\n",
                    number(good_[0]->written()), number(good_[1]->written()), number(lost), number(taken));

        std::vector<double> in[2];
        for (auto& g : good_)
            for (const auto& s : g->samples())
                for (const auto& p : phases_)
                    if (s.began >= p.begin + settling && s.began < p.end) in[p.attack].push_back(s.milliseconds);
        const auto peace = figures_of(in[0]), war = figures_of(in[1]);
        for (const auto* f : {&peace, &war})
            std::printf("%-9s %6zu writes until they can be read beyond the leader: median %.2f ms, 95%% %.2f, 99%% "
                        "%.2f, at most %.2f\n",
                        f == &peace ? "in peace" : "in attack", f->n, f->p50, f->p95, f->p99, f->most);
        if (peace.p50 > 0)
            std::printf("ratio of medians %.2f, of 95%% %.2f\n", war.p50 / peace.p50, war.p95 / peace.p95);
        if (judged && war.p50 >= bound * peace.p50) failed += "the median is not within its bound; ";

        const auto m = memory();
        std::printf("memory: %.1f MiB before, at most %.1f MiB in use, %.1f MiB after; cap %.1f MiB; resident at most %.1f MiB\n",
                    mib(before[0]), mib(m[1]), mib(m[0]), mib(cap_), mib(m[3]));
        if (m[1] > cap_) failed += "more memory than the cap; ";
        besieged_->send("quit");
        if (besieged_->wait(60s) != 0) failed += "the leader did not end well; ";
        return failed;
    }
};

} // namespace
} // namespace siege

int main(int argc, char** argv) {
    const std::vector<std::string> args(argv + 1, argv + argc);
    try {
        if (!args.empty() && args[0] == "--leader") return siege::run_leader({args.begin() + 1, args.end()});
        if (!args.empty() && args[0] == "--attacker") return siege::run_attacker({args.begin() + 1, args.end()});
        siege::setting s;
        std::size_t numbers = 0;
        for (const auto& a : args) {
            if (a == "unlimited")
                s.rates = false;
            else if (a == "memory")
                s.storages = false;
            else if (a.find_first_not_of("0123456789") == std::string::npos && numbers < 2)
                (numbers++ == 0 ? s.messages : s.seed) = std::stoull(a);
            else
                throw std::invalid_argument("usage: siege [MESSAGES] [SEED] [unlimited] [memory]");
        }
        const auto failed = siege::siege_run(s).run();
        std::printf("%s%s\n", failed.empty() ? "passed" : "FAILED: ", failed.c_str());
        return failed.empty() ? 0 : 1;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        std::printf("error: %s\n", e.what());
        return 1;
    }
}
