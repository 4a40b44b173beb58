// SPDX-License-Identifier: Apache-2.0
#pragma once

// A network under the control of a test: named nodes, links between them, and virtual time. Everything that
// happens follows from one seed and from what the test asks for, so that a failure can be repeated.
//
//     joinery::simulated_network network(seed);
//     auto eu = network.add("eu"), us = network.add("us");
//     network.dial(us, eu);                        // as a transport does: us hears what eu broadcasts
//     network.start(eu, eu_process);               // endpoints: what a transport hands over, and an alarm
//     network.start(us, us_process);
//     network.set(us, eu, {.loss = 100, .delay = 20ms, .jitter = 30ms}); // in one direction
//     network.block(eu, us);                       // frames vanish in this direction, and nobody is told
//     network.run_until(10s);
//
// What can go wrong outside can go wrong here: frames are lost, doubled, overtaken, delayed and damaged;
// links vanish silently or with notice, in one direction or both, and come back; processes stop with or
// without notice and start again; they pause, and find everything that came meanwhile waiting.
//
// Not thread-safe. What endpoints do when they are called may call the network again, except for
// run_until and step.

#include <joinery/transport.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace joinery {

/// One direction between two nodes. Chances are per thousand frames.
struct link_conditions {
    unsigned loss = 0;
    unsigned duplication = 0;
    unsigned reordering = 0; ///< the frame may be overtaken, by up to ten delays
    unsigned corruption = 0; ///< some bits change, or the end is missing
    std::chrono::milliseconds delay{1};
    std::chrono::milliseconds jitter{0}; ///< at most so much more

    friend bool operator==(const link_conditions&, const link_conditions&) = default;
};

/// What became of a frame.
enum class frame_fate : std::uint8_t { sent, delivered, lost, blocked, duplicated, reordered, corrupted, dropped };

class simulated_network {
public:
    using time = std::chrono::milliseconds;
    using node = std::size_t; ///< 0, 1, 2, ... in order of `add`

    /// A process on a node.
    class endpoint : public transport_events {
    public:
        /// The time that `set_alarm` asked for has come.
        virtual void alarm() = 0;

    protected:
        ~endpoint() = default;
    };

    explicit simulated_network(std::uint64_t seed);

    // ---- nodes and processes ----

    node add(std::string name);
    std::size_t size() const { return nodes_.size(); }
    const std::string& name(node n) const { return nodes_[n].name; }

    /// A process begins; its links connect once both ends run.
    void start(node n, endpoint& process);
    /// It ends, from within its own calls too. With notice its peers are told, and what it sent and is still
    /// under way is lost; without, its links look alive until it starts again.
    void stop(node n, bool notice = true);
    bool running(node n) const { return nodes_[n].process != nullptr; }
    /// Nothing is handed over until `resume`, when everything is, in order.
    void pause(node n) { nodes_[n].paused = true; }
    void resume(node n);
    bool paused(node n) const { return nodes_[n].paused; }

    // ---- links ----

    /// `from` dials `to`. The link connects again by itself whenever it can, until one of them hangs up.
    void dial(node from, node to);
    /// Ends all links between the two for good; both ends are told, and frames under way are lost.
    void hang_up(node a, node b);
    bool linked(node a, node b) const;
    /// Linked, and the link is up.
    bool connected(node a, node b) const;
    /// Who is there, as seen from the end that knows the link by this id.
    node other_end(link_id id) const { return links_[static_cast<std::size_t>((id - 1) / 2)].ends[id % 2]; }
    /// Of all frames from here to there, from now on.
    void set(node from, node to, const link_conditions& c);
    void set_all(const link_conditions& c);
    /// Frames in this direction vanish without notice; links that are down stay down.
    void block(node from, node to);
    /// All links between the two go down, both ends are told, and frames under way are lost.
    void cut(node a, node b);
    /// Ends `block` in this direction, or `cut`.
    void unblock(node from, node to);
    void restore(node a, node b);
    /// Ends every block and cut, and all conditions but delays.
    void heal();

    // ---- sending: what a transport does ----

    /// To all who dialled `from`.
    void broadcast(node from, std::span<const std::byte> frame);
    bool send(node from, link_id link, std::span<const std::byte> frame);

    // ---- time ----

    time now() const { return now_; }
    /// Calls the process' `alarm` then; replaces an earlier request.
    void set_alarm(node n, time at);
    /// Runs `f` then, whatever the nodes do.
    void schedule(time at, std::function<void()> f);
    /// Does the next thing, if there is one until then.
    bool step(time until);
    /// Does everything until then, and lets it be then.
    void run_until(time until);

    struct statistics {
        std::uint64_t sent = 0, delivered = 0, lost = 0, blocked = 0;
        std::uint64_t duplicated = 0, reordered = 0, corrupted = 0, dropped = 0;
        std::uint64_t connections = 0, disconnections = 0;
    };
    const statistics& stats() const { return stats_; }

    /// Sees the fate of every frame: for traces.
    using observer = std::function<void(frame_fate, node from, node to, std::span<const std::byte>)>;
    void observe(observer o) { observer_ = std::move(o); }

private:
    using bytes = std::shared_ptr<const std::vector<std::byte>>;
    enum class kind : std::uint8_t { frame, connect, alarm, call };

    struct host {
        std::string name;
        endpoint* process = nullptr;
        bool paused = false;
        time alarm_at = time::max();
        std::vector<std::function<void()>> backlog; // while paused
        std::uint64_t process_number = 0;
    };
    struct direction {
        link_conditions conditions;
        bool blocked = false;
        time last_arrival{0};
    };
    struct link { // end 0 has dialled end 1
        node ends[2];
        direction to[2]; // towards end 0, end 1
        bool up = false, down_by_cut = false, connecting = false, ended = false;
        std::uint32_t generation = 0;
    };
    struct occurrence {
        time at;
        std::uint64_t number;
        kind what;
        std::uint32_t end = 0; // frame: where it goes
        std::size_t place = 0; // link, node, or call
        std::uint32_t generation = 0;
        bytes frame;
        friend bool operator>(const occurrence& a, const occurrence& b) {
            return a.at != b.at ? a.at > b.at : a.number > b.number;
        }
    };

    std::uint64_t random_;
    time now_{0};
    std::uint64_t next_number_ = 0;
    std::vector<host> nodes_;
    std::vector<link> links_;
    std::vector<std::function<void()>> calls_;
    std::priority_queue<occurrence, std::vector<occurrence>, std::greater<>> queue_;
    statistics stats_;
    observer observer_;

    static link_id id_of(std::size_t link, std::size_t end) { return link * 2 + end + 1; }
    std::uint64_t draw();
    std::uint64_t draw(std::uint64_t below) { return below == 0 ? 0 : draw() % below; }
    bool chance(unsigned per_mille) { return per_mille > 0 && draw(1000) < per_mille; }
    void put(occurrence o);
    void fate(frame_fate f, node from, node to, std::span<const std::byte> frame);
    void transmit(std::size_t link, std::size_t end, const bytes& frame);
    void arrive(std::size_t link, std::size_t end, const bytes& frame);
    bytes damaged(const bytes& frame);
    void try_connect(std::size_t link);
    void connect_now(std::size_t link);
    void take_down(std::size_t link);
    /// Calls f(endpoint&) on the node's process: at once, or when it resumes.
    void tell(node n, std::function<void(endpoint&)> f);
    template <class F> void for_links(node a, node b, F&& f);
};

} // namespace joinery
