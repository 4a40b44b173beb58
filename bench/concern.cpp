// SPDX-License-Identifier: Apache-2.0
// How long a write waits for two peers' acknowledgements: three leaders over tcp on loopback. Beside it the least that
// this can take, measured in the same run: a round trip of raw DEALER and ROUTER sockets to two peers at once, and the
// commits that have to be waited for, as their storages took them for these very writes. A leader publishes nothing
// that is not logged, so a durable acknowledgement comes after the leader's commit and then a peer's, of which the
// slower of the two counts; one of `received` after the leader's.
#include "harness.hpp"
#include "leaders.hpp"

#include <joinery/concern.hpp>
#include <joinery/storage.hpp>

#include <zmq.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace joinery;
using namespace std::chrono_literals;
using bench::element, bench::require, bench::set;

namespace {

// A storage that says how long its commits take.
class timed_storage final : public storage {
public:
    timed_storage(std::unique_ptr<storage> inner, std::atomic<double>& spent)
        : inner_(std::move(inner)), spent_(spent) {}

    durability level() const override { return inner_->level(); }
    stored_node load() override { return inner_->load(); }
    void set_id(replica_id id) override { inner_->set_id(id); }
    std::uint32_t attach(std::string_view name, std::uint64_t fingerprint) override {
        return inner_->attach(name, fingerprint);
    }
    void append(std::uint32_t c, std::span<const std::byte> record) override {
        count([&] { inner_->append(c, record); });
    }
    void sync() override {
        count([&] { inner_->sync(); });
    }
    void harden() override {
        count([&] { inner_->harden(); });
    }
    void compact(std::uint32_t c, std::span<const std::byte> snapshot) override { inner_->compact(c, snapshot); }
    void rebase(replica_id id, std::span<const std::pair<std::uint32_t, std::vector<std::byte>>> all) override {
        inner_->rebase(id, all);
    }
    void close() override { inner_->close(); }
    statistics stats() const override { return inner_->stats(); }

private:
    std::unique_ptr<storage> inner_;
    std::atomic<double>& spent_; // microseconds

    template <class F> void count(F&& f) { spent_ = spent_ + bench::time_of(f) / 1e3; } // one thread at a time
};

struct cluster {
    std::array<std::atomic<double>, 3> committing{}; // microseconds so far
    std::deque<leader<set>> all;

    // The first `disks` of them have a storage.
    cluster(const std::string& files, std::size_t disks) {
        for (std::size_t i = 0; i < 3; ++i) {
            auto disk = i >= disks ? nullptr : sqlite_storage(files + std::to_string(i), durability::full);
            if (disk) disk = std::make_unique<timed_storage>(std::move(disk), committing[i]);
            all.push_back(bench::start("leader " + std::to_string(i), {}, std::move(disk)));
        }
        for (std::size_t i = 0; i < 3; ++i)
            for (std::size_t j = 0; j < 3; ++j)
                if (i != j) all[i].connect(all[j].address());
        const auto met =
            all[0].write([](set& s, auto& tx) { s.add(tx, "hello"); }, {.acknowledgements = 2, .timeout = 20s});
        require(met.complete, "the leaders did not meet");
    }
};

// Microseconds of a write, and of the commits meanwhile: the leader's, and that of the slower peer.
struct samples {
    std::vector<double> write, own, peers;

    void take(cluster& c, assurance level, std::size_t n, std::size_t& next) {
        for (std::size_t i = 0; i < n; ++i) {
            std::this_thread::sleep_for(1ms); // whatever else the last one brought is done
            const auto text = element(next++);
            std::array<double, 3> before{};
            for (std::size_t k = 0; k < 3; ++k) before[k] = c.committing[k];
            write_result r;
            write.push_back(bench::time_of([&] {
                                r = c.all[0].write([&](set& s, auto& tx) { s.add(tx, text); },
                                                   {.acknowledgements = 2, .level = level});
                            }) /
                            1e3);
            require(r.complete, "a write was not acknowledged");
            own.push_back(c.committing[0] - before[0]);
            peers.push_back(std::max(c.committing[1] - before[1], c.committing[2] - before[2]));
        }
    }
};

// Two peers that send back what comes, each with a context of its own, as leaders have.
class echoes {
public:
    echoes() {
        for (auto& e : peers_) {
            e.router.set(zmq::sockopt::rcvtimeo, 100);
            e.router.set(zmq::sockopt::linger, 0);
            e.router.bind("tcp://127.0.0.1:*");
            const auto address = e.router.get(zmq::sockopt::last_endpoint);
            e.thread = std::thread([&e, this] {
                zmq::message_t from, body;
                while (!stop_) {
                    if (!e.router.recv(from)) continue;
                    (void)e.router.recv(body);
                    e.router.send(from, zmq::send_flags::sndmore);
                    e.router.send(body, zmq::send_flags::none);
                }
            });
            e.dealer.set(zmq::sockopt::rcvtimeo, 10'000);
            e.dealer.set(zmq::sockopt::linger, 0);
            e.dealer.connect(address);
        }
    }
    ~echoes() {
        stop_ = true;
        for (auto& e : peers_) e.thread.join();
    }
    echoes(const echoes&) = delete;
    echoes& operator=(const echoes&) = delete;

    void take(std::vector<double>& out, std::size_t n) {
        const std::string payload(128, 'x');
        for (std::size_t i = 0; i < n; ++i) {
            std::this_thread::sleep_for(1ms);
            out.push_back(bench::time_of([&] {
                              for (auto& e : peers_) e.dealer.send(zmq::buffer(payload));
                              zmq::message_t m;
                              for (auto& e : peers_) require(e.dealer.recv(m).has_value(), "an echo did not come");
                          }) /
                          1e3);
        }
    }

private:
    struct peer {
        zmq::context_t context;
        zmq::socket_t router{context, zmq::socket_type::router};
        zmq::socket_t dealer;
        std::thread thread;
        explicit peer(zmq::context_t& asking) : dealer(asking, zmq::socket_type::dealer) {}
    };
    zmq::context_t asking_;
    std::atomic<bool> stop_{false};
    std::array<peer, 2> peers_{peer(asking_), peer(asking_)};
};

} // namespace

int main(int argc, char** argv) {
    bench::report out("write concerns, 3 leaders over tcp, 2 acknowledgements", argc, argv);
    const bench::folder files;
    std::size_t next = 0;
    cluster disks(files / "storage", 3), one_disk(files / "only", 1), memory("", 0);
    echoes raw;
    samples durable, received, received_by_two, no_storage;
    std::vector<double> trip;
    std::vector<double> warm_up;
    raw.take(warm_up, 100);
    for (auto* c : {&disks, &one_disk, &memory}) samples().take(*c, assurance::durable, 100, next);
    constexpr std::size_t rounds = 30, each = 20;
    for (std::size_t i = 0; i < rounds; ++i) {
        raw.take(trip, each);
        durable.take(disks, assurance::durable, each, next);
        received.take(disks, assurance::received, each, next);
        received_by_two.take(one_disk, assurance::received, each, next);
        no_storage.take(memory, assurance::received, each, next);
    }
    const auto p50 = [](const std::vector<double>& v) { return bench::median(v); };
    const double there = p50(trip);
    out.add({"raw DEALER/ROUTER to two peers and back, p50", there, "us", 0, ""});
    out.add({"the leader's commit, p50", p50(durable.own), "us", 0, ""});
    out.add({"the slower peer's commit, p50", p50(durable.peers), "us", 0, ""});
    out.add({"SQLite at level full, durable, p50", p50(durable.write), "us",
             there + p50(durable.own) + p50(durable.peers), "round trip and both commits"});
    out.add({"SQLite at level full, received, p50", p50(received.write), "us", there + p50(received.own),
             "round trip and the leader's commit"});
    out.add({"the same, peers without storages, p50", p50(received_by_two.write), "us",
             there + p50(received_by_two.own), "round trip and the leader's commit"});
    out.add({"no storage, received, p50", p50(no_storage.write), "us", there, "round trip"});
}
