// SPDX-License-Identifier: Apache-2.0
// A leader under siege: siege [MESSAGES] [SEED] [unlimited] [memory]. Two good leaders write all the time and hear of
// each other only by way of a third, a process of its own, while hostile peers with keys and rights send it so many
// messages over real sockets. In turns there is peace, an attack of the same kind upon another leader of the machine,
// and the attack: so what else the machine does slows all alike, and what the hostile peers take of its processors and
// disk, where they would have their own, can be told from what they do to the leader. In the end all three good leaders
// must have everything that was written.
#include "siege.hpp"
#include "hostile_peer.hpp"

#include "../examples/child_process.hpp"
#include "comes.hpp"
#include "scratch_folder.hpp"

#include <algorithm>
#include <array>
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
constexpr std::uint64_t kept = 200;            // items of each leader and collection; older ones are removed
constexpr auto between_writes = 5ms;           // of each good leader
constexpr auto measured = 5s;                  // of peace, and of an attack elsewhere
constexpr auto settling = 200ms;               // after the start of a phase: not counted
constexpr double bound = 2;                    // of the medians
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
            watches_.push_back(
                boards_[c].subscribe([this, &other, c, who = other.node_.id()](const joinery::change& x) {
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
    /// What is watched may go.
    void look_away() { watches_.clear(); }

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

enum phase_kind : std::size_t { peace, elsewhere, attack };
constexpr std::array<const char*, 3> phase_names{"in peace", "attack elsewhere", "attack"};

struct phase {
    phase_kind kind;
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

template <class P>
void until(P&& holds, std::chrono::seconds patience, const std::string& otherwise,
           std::chrono::milliseconds every = 20ms) {
    if (!test_support::comes(holds, patience, every)) throw std::runtime_error(otherwise);
}

struct setting {
    std::uint64_t messages = 1'000'000, seed = std::random_device{}();
    bool rates = true, storages = true;
};

class siege_run {
public:
    explicit siege_run(setting s) : set_(s), judged_(s.messages >= judged_from), besieged_("besieged", *this, 0) {
        for (std::size_t i = 0; i < 2; ++i)
            good_.push_back(std::make_unique<good_leader>(i == 0 ? "eu" : "us", options_of(i)));
        for (auto& g : good_) until([&] { return g->reaches(1); }, 60s, "the good leaders do not get through");
        if (judged_) other_.emplace("other", *this, 1);
    }
    ~siege_run() {
        for (auto& g : good_) g->look_away();
    }

    /// What failed; empty: nothing.
    std::string run() {
        const auto before = besieged_.numbers("memory");
        cap_ = memory_cap(limits(true), sockets(besieged_.keys, {}), 2 + 2 * attackers, before.at(0));
        std::printf("%llu messages from %zu hostile peers, seed %llu, rates %s, storages %s; load %.2f\n",
                    number(set_.messages), attackers, number(set_.seed),
                    set_.rates ? "500 messages, 1 MiB a second" : "none", set_.storages ? "SQLite, full" : "none",
                    load());
        good_[0]->watch(*good_[1]);
        good_[1]->watch(*good_[0]);
        for (auto& g : good_) g->write();
        const std::uint64_t rounds = judged_ ? 10 : 2;
        for (std::uint64_t i = 0; i < rounds; ++i) {
            if (judged_) {
                spend(peace, [] { std::this_thread::sleep_for(measured); });
                other_->tell("attack");
                spend(elsewhere, [] { std::this_thread::sleep_for(measured); });
                other_->tell("rest");
            }
            attack_until(set_.messages * (i + 1) / rounds);
        }
        const auto unheard = report_counts();
        other_.reset();
        for (auto& h : besieged_.hostile) {
            h.send("quit");
            h.wait();
        }
        return unheard + judge(before);
    }

private:
    static constexpr auto patience = 120s;
    using key_pairs = std::vector<joinery::key_pair>;

    /// A leader as a process of its own, and the hostile peers that it has.
    struct target {
        joinery::key_pair keys = joinery::key_pair::generate();
        std::unique_ptr<child_process> leader;
        std::string address;
        std::vector<child_process> hostile;

        target(const std::string& name, const siege_run& run, std::size_t place) {
            const auto saved = [&](const joinery::key_pair& k, const std::string& of) {
                const auto path = run.folder_ / (of + ".key");
                joinery::save_keys(k, path);
                return path;
            };
            std::vector<std::string> words{"/proc/self/exe", "--leader",        "tcp://127.0.0.1:*",
                                           run.file(name),   saved(keys, name), run.set_.rates ? "rates" : "unlimited"};
            for (const auto& k : run.good_keys_) words.push_back(to_string(k.public_half()));
            words.emplace_back("-");
            std::vector<std::string> paths;
            for (std::size_t i = 0; i < attackers; ++i) {
                const auto k = joinery::key_pair::generate();
                paths.push_back(saved(k, name + std::to_string(i)));
                words.push_back(to_string(k.public_half()));
            }
            leader = std::make_unique<child_process>(words);
            address = leader->ask("address", patience).at(0);
            for (std::size_t i = 0; i < attackers; ++i)
                hostile.emplace_back(std::vector<std::string>{
                    "/proc/self/exe", "--attacker", address, paths[i], std::to_string(place * attackers + i),
                    std::to_string(run.set_.seed), run.judged_ ? "elsewhere" : "here"});
        }
        void tell(const std::string& command) {
            for (auto& h : hostile) h.ask(command, patience);
        }
        static std::vector<std::size_t> numbers(child_process& of, const std::string& command) {
            std::vector<std::size_t> all;
            for (const auto& line : of.ask(command, patience)) all.push_back(std::stoull(line));
            return all;
        }
        std::vector<std::size_t> numbers(const std::string& command) { return numbers(*leader, command); }
    };

    setting set_;
    bool judged_;
    storage_test::scratch_folder folder_;
    key_pairs good_keys_{joinery::key_pair::generate(), joinery::key_pair::generate()};
    target besieged_;
    std::vector<std::unique_ptr<good_leader>> good_;
    std::optional<target> other_;
    std::vector<phase> phases_;
    std::uint64_t arrived_ = 0; // messages of hostile peers at the leader
    std::size_t cap_ = 0;

    static unsigned long long number(std::uint64_t n) { return n; }
    std::string file(const std::string& name) const { return set_.storages ? folder_ / (name + ".db") : std::string(); }

    joinery::node_options options_of(std::size_t i) {
        joinery::access_policy policy;
        policy.self.key = good_keys_[i].public_half();
        auto& besieged = policy.peers.emplace_back();
        besieged.key = besieged_.keys.public_half();
        besieged.rights = joinery::access_right::admin;
        auto z = sockets(good_keys_[i], policy.keys());
        z.peers = {besieged_.address};
        joinery::node_options n;
        n.name = i == 0 ? "eu" : "us";
        n.transport = joinery::zmq_transport(z);
        if (set_.storages) n.storage = joinery::sqlite_storage(file(n.name));
        n.access = std::move(policy);
        return n;
    }
    /// Frames that have come to the leader and not from the good ones.
    std::uint64_t foreign() {
        const auto all = besieged_.numbers("counter transport_frames_in").at(0);
        std::uint64_t good = 0; // may be more by now
        for (const auto& g : good_) good += g->counter("transport_frames_out");
        return all - std::min<std::uint64_t>(all, good);
    }
    template <class F> void spend(phase_kind kind, F&& f) {
        const auto begin = steady::now();
        f();
        phases_.push_back({kind, begin, steady::now()});
    }
    void attack_until(std::uint64_t count) {
        besieged_.tell("attack");
        spend(attack, [&] {
            until([&] { return (arrived_ = foreign()) >= count; }, 3600s, "the attack does not get through",
                  judged_ ? 1000ms : 20ms);
        });
        besieged_.tell("rest");
        const auto m = besieged_.numbers("memory"); // in use, most in use, resident, most resident
        std::printf(
            "%9llu messages have arrived; %5.1f MiB in use, at most %5.1f MiB; resident at most %5.1f MiB; load %.2f\n",
            number(arrived_), mib(m[0]), mib(m[1]), mib(m[3]), load());
        std::fflush(stdout);
        if (m[1] > cap_) throw std::runtime_error("the leader takes more memory than its cap");
    }
    static double mib(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

    std::string report_counts() {
        std::string failed;
        const auto& kinds = hostile_peer::kinds();
        std::vector<std::uint64_t> sum(kinds.size() + 2);
        for (auto& h : besieged_.hostile) {
            const auto counts = target::numbers(h, "count");
            for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += counts.at(i);
        }
        std::uint64_t mended = 0, changed = 0;
        for (std::size_t i = 0; i < kinds.size(); ++i) {
            std::printf("  %-46s %10llu\n", kinds[i].name, number(sum[i]));
            if (sum[i] == 0) failed += std::string("nothing was sent: ") + kinds[i].name + "; ";
            if (kinds[i].mended) mended += sum[i];
            if (i < 7) changed += sum[i];
        }
        std::printf("sent %llu messages, %.1f MiB, %llu of them real traffic or noise, %llu with corrected checksums\n",
                    number(sum[kinds.size()]), mib(sum[kinds.size() + 1]), number(changed), number(mended));
        const std::vector<const char*> names{"frames_over_rate", "frames_rejected",  "denials",
                                             "updates_received", "updates_applied",  "hellos_received",
                                             "beacons_received", "pulls_sent",       "answers_made",
                                             "answers_refused",  "transport_dropped"};
        std::string command = "counter";
        for (const auto* n : names) command += std::string(" ") + n;
        const auto values = besieged_.numbers(command);
        std::printf("the leader: %llu arrived", number(arrived_));
        for (std::size_t i = 0; i < names.size(); ++i) std::printf(", %s %llu", names[i], number(values[i]));
        std::printf("\n");
        for (const std::size_t refused : {1, 2})
            if (values[refused] == 0) failed += std::string("no ") + names[refused] + "; ";
        return failed;
    }

    std::string judge(const std::vector<std::size_t>& before) {
        for (auto& g : good_) g->rest();
        const auto same = [&] {
            const auto digests = good_[0]->digests();
            return good_[1]->digests() == digests && besieged_.leader->ask("digest", patience) == digests;
        };
        std::string failed;
        try { // what is written last is read where it was not written, whatever the dates of the hostile ones
            until(same, 120s, "");
            good_[0]->at(commons).write(
                [](board& b, joinery::transaction& tx) { b.notes.set(tx, "contested", "good"); });
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
        std::printf(
            "%llu and %llu writes at the good leaders; %llu lost where only they may write, %llu taken away where "
            "the hostile ones may\n",
            number(good_[0]->written()), number(good_[1]->written()), number(lost), number(taken));

        failed += judge_times();
        const auto m = besieged_.numbers("memory");
        std::printf("memory: %.1f MiB before, at most %.1f MiB in use, %.1f MiB after; cap %.1f MiB; resident at most "
                    "%.1f MiB\n",
                    mib(before[0]), mib(m[1]), mib(m[0]), mib(cap_), mib(m[3]));
        if (m[1] > cap_) failed += "more memory than the cap; ";
        besieged_.leader->send("quit");
        if (besieged_.leader->wait(60s) != 0) failed += "the leader did not end well; ";
        return failed;
    }

    std::string judge_times() {
        std::vector<journey::sample> all;
        for (auto& g : good_) std::ranges::copy(g->samples(), std::back_inserter(all));
        std::array<std::vector<double>, phase_names.size()> in;
        std::printf("medians, phase by phase (attacks in brackets, round ones elsewhere):");
        for (const auto& p : phases_) {
            std::vector<double> now;
            for (const auto& s : all)
                if (s.began >= p.begin + settling && s.began < p.end) now.push_back(s.milliseconds);
            std::ranges::copy(now, std::back_inserter(in[p.kind]));
            std::printf(p.kind == attack      ? " [%.2f]"
                        : p.kind == elsewhere ? " (%.2f)"
                                              : " %.2f",
                        figures_of(std::move(now)).p50);
        }
        std::printf(" ms\nfrom a write until it can be read beyond the leader, in milliseconds:\n");
        std::array<figures, phase_names.size()> f;
        for (std::size_t i = 0; i < f.size(); ++i) {
            f[i] = figures_of(std::move(in[i]));
            std::printf("  %-16s %7zu writes, median %7.2f, 95%% %7.2f, 99%% %7.2f, at most %7.2f\n", phase_names[i],
                        f[i].n, f[i].p50, f[i].p95, f[i].p99, f[i].most);
        }
        if (!judged_) return {};
        const auto ratio = [&](phase_kind to) {
            std::printf("attack beside %s: medians %.2f, 95%% %.2f\n", phase_names[to], f[attack].p50 / f[to].p50,
                        f[attack].p95 / f[to].p95);
            return f[attack].p50 / f[to].p50;
        };
        ratio(peace);
        return ratio(elsewhere) < bound ? "" : "the median is not within its bound; ";
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
