// SPDX-License-Identifier: Apache-2.0
#include <joinery/simulated_network.hpp>

#include <algorithm>

namespace joinery {

simulated_network::simulated_network(std::uint64_t seed) : random_(seed) {}

// splitmix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
std::uint64_t simulated_network::draw() {
    std::uint64_t z = (random_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void simulated_network::put(occurrence o) {
    o.number = next_number_++;
    queue_.push(std::move(o));
}

void simulated_network::fate(frame_fate f, node from, node to, std::span<const std::byte> frame) {
    switch (f) {
    case frame_fate::sent: ++stats_.sent; break;
    case frame_fate::delivered: ++stats_.delivered; break;
    case frame_fate::lost: ++stats_.lost; break;
    case frame_fate::blocked: ++stats_.blocked; break;
    case frame_fate::duplicated: ++stats_.duplicated; break;
    case frame_fate::reordered: ++stats_.reordered; break;
    case frame_fate::corrupted: ++stats_.corrupted; break;
    case frame_fate::dropped: ++stats_.dropped; break;
    }
    if (observer_) observer_(f, from, to, frame);
}

// ---- nodes and processes ----

simulated_network::node simulated_network::add(std::string name) {
    nodes_.push_back({});
    nodes_.back().name = std::move(name);
    return nodes_.size() - 1;
}

void simulated_network::start(node n, endpoint& process) {
    for (std::size_t l = 0; l < links_.size(); ++l)
        if ((links_[l].ends[0] == n || links_[l].ends[1] == n) && links_[l].up) take_down(l);
    auto& h = nodes_[n];
    h.process = &process;
    ++h.process_number;
    h.paused = false;
    h.backlog.clear();
    for (std::size_t l = 0; l < links_.size(); ++l)
        if (links_[l].ends[0] == n || links_[l].ends[1] == n) try_connect(l);
}

void simulated_network::stop(node n, bool notice) {
    auto& h = nodes_[n];
    h.process = nullptr;
    h.paused = false;
    h.backlog.clear();
    h.alarm_at = time::max();
    if (!notice) return;
    for (std::size_t l = 0; l < links_.size(); ++l)
        if ((links_[l].ends[0] == n || links_[l].ends[1] == n) && links_[l].up) take_down(l);
}

void simulated_network::resume(node n) {
    nodes_[n].paused = false;
    auto backlog = std::exchange(nodes_[n].backlog, {});
    for (auto& f : backlog) f();
}

void simulated_network::tell(node n, std::function<void(endpoint&)> f) {
    auto& h = nodes_[n];
    if (!h.process) return;
    if (!h.paused) return f(*h.process);
    h.backlog.push_back([this, n, number = h.process_number, f = std::move(f)] {
        if (nodes_[n].process && nodes_[n].process_number == number) f(*nodes_[n].process);
    });
}

// ---- links ----

void simulated_network::dial(node from, node to) {
    auto& l = links_.emplace_back();
    l.ends[0] = from;
    l.ends[1] = to;
    try_connect(links_.size() - 1);
}

template <class F> void simulated_network::for_links(node a, node b, F&& f) {
    for (std::size_t l = 0; l < links_.size(); ++l)
        for (std::size_t end : {0, 1}) // f(link, the end that is b)
            if (!links_[l].ended && links_[l].ends[1 - end] == a && links_[l].ends[end] == b) f(l, end);
}

void simulated_network::hang_up(node a, node b) {
    for_links(a, b, [&](std::size_t l, std::size_t) {
        links_[l].ended = true;
        if (links_[l].up) take_down(l);
    });
}

bool simulated_network::linked(node a, node b) const {
    return std::any_of(links_.begin(), links_.end(), [&](const link& l) {
        return !l.ended && ((l.ends[0] == a && l.ends[1] == b) || (l.ends[0] == b && l.ends[1] == a));
    });
}

bool simulated_network::connected(node a, node b) const {
    return std::any_of(links_.begin(), links_.end(), [&](const link& l) {
        return l.up && ((l.ends[0] == a && l.ends[1] == b) || (l.ends[0] == b && l.ends[1] == a));
    });
}

void simulated_network::set(node from, node to, const link_conditions& c) {
    for_links(from, to, [&](std::size_t l, std::size_t end) { links_[l].to[end].conditions = c; });
}

void simulated_network::set_all(const link_conditions& c) {
    for (auto& l : links_) l.to[0].conditions = l.to[1].conditions = c;
}

void simulated_network::block(node from, node to) {
    for_links(from, to, [&](std::size_t l, std::size_t end) { links_[l].to[end].blocked = true; });
}

void simulated_network::unblock(node from, node to) {
    for_links(from, to, [&](std::size_t l, std::size_t end) {
        links_[l].to[end].blocked = false;
        try_connect(l);
    });
}

void simulated_network::cut(node a, node b) {
    for_links(a, b, [&](std::size_t l, std::size_t) {
        links_[l].down_by_cut = true;
        if (links_[l].up) take_down(l);
    });
}

void simulated_network::restore(node a, node b) {
    for_links(a, b, [&](std::size_t l, std::size_t) {
        links_[l].down_by_cut = false;
        try_connect(l);
    });
}

void simulated_network::heal() {
    for (std::size_t l = 0; l < links_.size(); ++l) {
        for (auto& d : links_[l].to) {
            d.blocked = false;
            d.conditions = {.delay = d.conditions.delay};
        }
        links_[l].down_by_cut = false;
        try_connect(l);
    }
}

void simulated_network::try_connect(std::size_t l) {
    auto& k = links_[l];
    if (k.up || k.connecting || k.ended) return;
    k.connecting = true;
    const auto handshake = 2 * std::max(k.to[0].conditions.delay, k.to[1].conditions.delay);
    put({now_ + handshake + time(draw(5)), 0, kind::connect, 0, l, 0, nullptr});
}

void simulated_network::connect_now(std::size_t l) {
    auto& k = links_[l];
    k.connecting = false;
    const auto& a = nodes_[k.ends[0]];
    const auto& b = nodes_[k.ends[1]];
    if (k.up || k.ended || k.down_by_cut || k.to[0].blocked || k.to[1].blocked || !a.process || !b.process) return;
    if (a.paused || b.paused) { // it does not answer: try again
        k.connecting = true;
        put({now_ + time(50), 0, kind::connect, 0, l, 0, nullptr});
        return;
    }
    k.up = true;
    ++k.generation;
    k.to[0].last_arrival = k.to[1].last_arrival = now_;
    ++stats_.connections;
    for (std::size_t end : {0, 1}) tell(links_[l].ends[end], [id = id_of(l, end)](endpoint& e) { e.connected(id); });
}

void simulated_network::take_down(std::size_t l) {
    links_[l].up = false;
    ++links_[l].generation;
    ++stats_.disconnections;
    for (std::size_t end : {0, 1}) tell(links_[l].ends[end], [id = id_of(l, end)](endpoint& e) { e.disconnected(id); });
    try_connect(l);
}

// ---- frames ----

void simulated_network::broadcast(node from, std::span<const std::byte> frame) {
    bytes shared;
    for (std::size_t l = 0; l < links_.size(); ++l) {
        if (links_[l].ends[1] != from || !links_[l].up) continue;
        if (!shared) shared = std::make_shared<const std::vector<std::byte>>(frame.begin(), frame.end());
        transmit(l, 0, shared);
    }
}

bool simulated_network::send(node from, link_id id, std::span<const std::byte> frame) {
    if (id == 0 || (id - 1) / 2 >= links_.size()) return false;
    const auto l = static_cast<std::size_t>((id - 1) / 2);
    const auto end = static_cast<std::size_t>((id - 1) % 2);
    if (!links_[l].up || links_[l].ends[end] != from) return false;
    transmit(l, 1 - end, std::make_shared<const std::vector<std::byte>>(frame.begin(), frame.end()));
    return true;
}

void simulated_network::transmit(std::size_t l, std::size_t end, const bytes& frame) {
    auto& k = links_[l];
    auto& d = k.to[end];
    const node from = k.ends[1 - end], to = k.ends[end];
    const auto& c = d.conditions;
    fate(frame_fate::sent, from, to, *frame);
    if (d.blocked) return fate(frame_fate::blocked, from, to, *frame);
    if (chance(c.loss)) return fate(frame_fate::lost, from, to, *frame);
    int copies = 1;
    if (chance(c.duplication)) {
        ++copies;
        fate(frame_fate::duplicated, from, to, *frame);
    }
    for (; copies > 0; --copies) {
        bytes content = frame;
        if (chance(c.corruption)) {
            content = damaged(frame);
            fate(frame_fate::corrupted, from, to, *frame);
        }
        time arrival = now_ + c.delay + time(draw(static_cast<std::uint64_t>(c.jitter.count()) + 1));
        if (chance(c.reordering)) {
            arrival += time(draw(static_cast<std::uint64_t>(c.delay.count()) * 10 + 10));
            fate(frame_fate::reordered, from, to, *frame);
        } else {
            arrival = std::max(arrival, d.last_arrival);
            d.last_arrival = arrival;
        }
        put({arrival, 0, kind::frame, static_cast<std::uint32_t>(end), l, k.generation, std::move(content)});
    }
}

simulated_network::bytes simulated_network::damaged(const bytes& frame) {
    auto copy = *frame;
    if (copy.empty()) return frame;
    if (chance(300)) {
        copy.resize(static_cast<std::size_t>(draw(copy.size())));
    } else {
        for (auto flips = 1 + draw(3); flips > 0; --flips)
            copy[static_cast<std::size_t>(draw(copy.size()))] ^= static_cast<std::byte>(1u << draw(8));
    }
    return std::make_shared<const std::vector<std::byte>>(std::move(copy));
}

void simulated_network::arrive(std::size_t l, std::size_t end, const bytes& frame) {
    const node from = links_[l].ends[1 - end], to = links_[l].ends[end];
    if (!nodes_[to].process) return fate(frame_fate::dropped, from, to, *frame);
    fate(frame_fate::delivered, from, to, *frame);
    tell(to, [id = id_of(l, end), frame](endpoint& e) { e.received(id, *frame); });
}

// ---- time ----

void simulated_network::set_alarm(node n, time at) {
    if (at == nodes_[n].alarm_at) return;
    nodes_[n].alarm_at = at;
    if (at != time::max()) put({std::max(at, now_), 0, kind::alarm, 0, n, 0, nullptr});
}

void simulated_network::schedule(time at, std::function<void()> f) {
    calls_.push_back(std::move(f));
    put({std::max(at, now_), 0, kind::call, 0, calls_.size() - 1, 0, nullptr});
}

bool simulated_network::step(time until) {
    if (queue_.empty() || queue_.top().at > until) return false;
    const occurrence o = queue_.top();
    queue_.pop();
    now_ = std::max(now_, o.at);
    switch (o.what) {
    case kind::frame: {
        const auto& k = links_[o.place];
        if (k.up && k.generation == o.generation)
            arrive(o.place, o.end, o.frame);
        else
            fate(frame_fate::dropped, k.ends[1 - o.end], k.ends[o.end], *o.frame);
        break;
    }
    case kind::connect: connect_now(o.place); break;
    case kind::alarm:
        if (nodes_[o.place].alarm_at > now_) break; // it was changed
        nodes_[o.place].alarm_at = time::max();
        tell(o.place, [](endpoint& e) { e.alarm(); });
        break;
    case kind::call: std::exchange(calls_[o.place], nullptr)(); break;
    }
    return true;
}

void simulated_network::run_until(time until) {
    while (step(until)) {
    }
    now_ = std::max(now_, until);
}

} // namespace joinery
