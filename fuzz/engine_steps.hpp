// SPDX-License-Identifier: Apache-2.0
#pragma once

// The engine as others meet it: a sequence of steps, each a byte and what it takes. Two good nodes talk to each other,
// edit, stop and start; bad links bring frames from the input, real ones that were changed (their checksums corrected
// in three of four), and lies that fit what was asked. Whatever comes, memory is bounded, no own dot is issued twice,
// and what was logged is there after a crash. Once the bad links are gone the good nodes come to have the same, unless
// somebody lied about who has what, or what it is, whose word counts: without a policy everybody's; with one, that of
// those who may write.

#include "allocation_meter.hpp"
#include "bad_peer.hpp"
#include "engine_world.hpp"
#include "framing.hpp"

#include <cstdint>

namespace joinery::fuzz {

class steps {
public:
    explicit steps(std::span<const std::byte> in, const guard& policy = {}) : in_(in), policy_(policy) {}

    void operator()() {
        allocation_meter meter;
        {
            world w(policy_);
            for (unsigned i = 0; !in_.empty() && i < 600; ++i) step(w);
            settle(w);
            require(meter.peak() < most_memory + 64 * arrived_, "memory is bounded");
        }
    }

private:
    // Of two nodes with full queues; what arrives may be kept, and is seldom more than that.
    static constexpr std::size_t most_memory = std::size_t{16} << 20;

    input in_;
    guard policy_;
    std::size_t arrived_ = 0;
    bool lied_ = false; // what came said of dots what no good node has said

    void step(world& w) {
        const auto what = in_.take();
        auto& n = w.nodes[what >> 7];
        const std::size_t bad = (what >> 6) & 1;
        switch (what % 16) {
        case 0: {
            const auto kind = in_.take() % 2 ? frame_kind::broadcast : frame_kind::direct;
            arrive(w, n, bad, framed(in_.take_part(), kind));
            break;
        }
        case 1: {
            const auto raw = in_.take_part();
            arrive(w, n, bad, {raw.begin(), raw.end()});
            break;
        }
        case 2: replay(w, n, bad); break;
        case 3:
            for (auto count = 1u + in_.take() % 8; count > 0 && !w.wire.empty(); --count) w.deliver();
            break;
        case 4: disturb(w); break;
        case 5: w.tick(engine_time(1u << in_.take() % 14)); break;
        case 6: w.link(!w.linked); break;
        case 7: n.connect(bad, !n.up[bad]); break;
        case 8:
        case 9: n.edit(in_.take()); break;
        case 10: restart(n); break;
        case 11: say(n); break;
        case 12: w.deliver_all(); break;
        case 13:
            n.connect(bad, true);
            arrive(w, n, bad, introduction(w, n, n.heard[bad], in_));
            break;
        default: n.connect(bad, true); arrive(w, n, bad, lie(w, n, n.heard[bad], in_));
        }
    }

    void arrive(world& w, node& n, std::size_t bad, const bytes& frame) {
        if (!n.e || !n.up[bad]) return;
        tally(frame);
        arrived_ += frame.size();
        lied_ |= policy_.believes(bad) && w.is_lie(frame);
        w.receive(n, bad_links[bad], frame);
    }

    // A frame that a good node has sent, changed or not.
    void replay(world& w, node& n, std::size_t bad) {
        const auto which = in_.take(), how = in_.take();
        if (w.recorded.empty()) return;
        const auto& frame = w.recorded[which % w.recorded.size()];
        const auto& other = w.recorded[(which * 7u + how) % w.recorded.size()];
        arrive(w, n, bad, how < 16 ? frame : changed(frame, other, how, in_));
    }

    void disturb(world& w) {
        const auto how = in_.take();
        if (w.wire.empty()) return;
        const auto at = w.wire.begin() + static_cast<std::ptrdiff_t>(how / 4 % w.wire.size());
        switch (how % 4) {
        case 0: w.wire.erase(at); break;
        case 1: w.wire.push_back(*at); break;
        case 2: std::swap(*at, w.wire.front()); break;
        default: // the wire is bad: the checksum tells
            if (!at->frame.empty()) at->frame[in_.take() % at->frame.size()] ^= std::byte{4};
        }
    }

    void restart(node& n) {
        const auto how = in_.take();
        n.stop(how % 4 == 0, how / 4);
        n.start();
    }

    void say(node& n) {
        const auto how = in_.take();
        const bytes text(1 + how / 8, std::byte{'x'});
        switch (how % 8) {
        case 0: n.e->set_presence(how / 8 % 2, text, engine_time(100 + how)); break;
        case 1: n.e->clear_presence(how / 8 % 2); break;
        case 2:
            if (const auto number = n.e->request(how / 8 % 2, who(n.all, in_), "echo", text)) n.e->take_reply(*number);
            break;
        case 3: n.e->ask(); break;
        case 4:
            if (const auto id = who(n.all, in_); id != n.e->id()) n.e->evict(id);
            break;
        case 5:
            if (!n.e->writable()) n.e->take_new_id();
            break;
        case 6: static_cast<void>(n.e->presence(0).size() + n.e->peers().size() + n.e->status(1).members.size()); break;
        default: break;
        }
        n.flush();
    }

    void settle(world& w) {
        for (auto& n : w.nodes)
            for (std::size_t bad = 0; bad < bad_links.size(); ++bad) n.connect(bad, false);
        w.link(true);
        const auto equal = [&] { return w.equal(); };
        const engine_time longest = lied_ ? std::chrono::seconds(30) : std::chrono::minutes(10);
        require(w.run(longest, equal) || lied_, "good nodes come to have the same");
        for (auto& n : w.nodes) {
            n.edit(3 * 7);
            n.flush();
        }
        require(w.run(longest, equal) || lied_, "and go on to");
        require(!w.nodes[0].diverged || lied_, "nothing diverges");
        require(lied_ || w.only_own(), "edits are those of the good nodes");
    }
};

} // namespace joinery::fuzz
