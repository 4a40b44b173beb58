// SPDX-License-Identifier: Apache-2.0
// The steps of a schedule: edits, and everything that goes wrong.
#include "simulated_world.hpp"

#include <algorithm>

namespace joinery::simulation {

void world::do_step(const step& s) {
    testing::random_source draw(s.draw);
    const std::size_t places = plan.nodes + (machines.back()->exists ? 1 : 0);
    auto& m = *machines[s.who % places];
    switch (s.what) {
    case step_kind::edit: {
        machine* who = &m;
        const auto can = [&] {
            return who->running() && !network.paused(who->place) && who->role == node_role::leader;
        };
        for (std::size_t i = 0; i < places && !can(); ++i) who = machines[(s.who + i) % places].get();
        if (!network.paused(who->place) && who->role == node_role::leader) who->edit(s.draw);
        break;
    }
    case step_kind::look:
        if (!m.running()) break;
        for (std::size_t c = 0; c < m.opens; ++c) m.compare_with_specification(c);
        break;
    case step_kind::keep_copy:
        if (!m.running() || !m.unpublished.empty() || m.held()) break;
        m.copy = machine::saved_copy{m.disk->copy(), m.durable, m.id};
        trace(&m, "its storage is copied");
        break;
    case step_kind::say:
        if (m.running() && !network.paused(m.place)) m.say(s.draw);
        break;
    case step_kind::fall_silent:
        if (m.running() && !network.paused(m.place)) m.fall_silent();
        break;
    case step_kind::newcomer: start_newcomer(); break;
    default:
        if (guarded.empty()) do_fault(s, m, draw);
    }
}

namespace {
bool ends_process(step_kind k) {
    return k == step_kind::crash || k == step_kind::crash_in_step || k == step_kind::storage_failure ||
           k == step_kind::clean_stop;
}
} // namespace

// Nobody loses what it had, in whatever way, while somebody is new: it may be all that this one can reach (see
// lose_storage).
void world::do_fault(const step& s, machine& m, testing::random_source& draw) {
    switch (s.what) {
    case step_kind::bad_network: return bad_network(draw);
    case step_kind::partition: return partition(draw, false);
    case step_kind::one_way_partition: return partition(draw, true);
    case step_kind::cut: {
        const auto other = draw.below(machines.size());
        if (other == m.place || !network.linked(m.place, other)) return;
        fault("link cut");
        trace(&m, "its link to ", machines[other]->name, " is cut");
        network.cut(m.place, other);
        network.schedule(network.now() + time(50 + draw.below(1500)),
                         [this, a = m.place, other] { network.restore(a, other); });
        return;
    }
    case step_kind::clock_jump:
        fault("clock jump");
        m.skew += static_cast<std::int64_t>(draw.below(7200)) * 1000 - 3'600'000;
        trace(&m, "its clock jumps; it is off by ", std::to_string(m.skew), " ms");
        return;
    case step_kind::add_link: return add_link(m, draw);
    case step_kind::remove_link: return remove_link(m, draw);
    case step_kind::long_absence: return long_absence(m, draw);
    default: break;
    }
    if (!m.running() || network.paused(m.place)) return;
    if (m.disk->level() == durability::none && somebody_is_new() && ends_process(s.what)) return;
    switch (s.what) {
    case step_kind::crash: {
        const bool notice = draw.chance(60);
        fault(notice ? "crash" : "crash without notice");
        if (m.disk->level() == durability::relaxed && draw.chance(50) && !somebody_is_new()) {
            fault("power cut");
            m.die("loses its power", notice, true);
            m.is_new = true;
            storage_lost(m, std::vector<version_vector>(names.size()));
        } else {
            m.die("crashes", notice);
        }
        return restart_later(m, draw.next());
    }
    case step_kind::crash_in_step: return crash_in_step(m, draw);
    case step_kind::storage_failure:
        trace(&m, "its storage is about to fail");
        if (draw.chance(60)) {
            m.disk->fail_at(draw.between(1, 12));
        } else { // in the next start
            fault("crash");
            m.die("crashes", true);
            m.disk->fail_at(draw.between(1, 4));
            restart_later(m, draw.next());
        }
        return;
    case step_kind::clean_stop:
        fault("clean stop");
        m.stop_cleanly();
        return restart_later(m, draw.next());
    case step_kind::lose_storage: return lose_storage(m, draw);
    case step_kind::set_back: return set_back(m, draw);
    case step_kind::clone: return clone(m, draw);
    case step_kind::evict: return evict(m, draw);
    case step_kind::leave: return leave(m, draw);
    case step_kind::pause:
        fault("pause");
        trace(&m, "pauses");
        network.pause(m.place);
        network.schedule(network.now() + time(20 + draw.below(3000)), [this, p = m.place] {
            if (!network.paused(p)) return;
            trace(machines[p].get(), "goes on");
            network.resume(p);
        });
        return;
    default: return;
    }
}

// ---- the network ----

void world::bad_network(testing::random_source& draw) {
    link_conditions c;
    c.delay = time(1 + draw.below(20));
    c.jitter = time(draw.below(40));
    switch (draw.below(6)) {
    case 0: c.loss = static_cast<unsigned>(draw.between(50, 600)); break;
    case 1: c.duplication = static_cast<unsigned>(draw.between(50, 600)); break;
    case 2: c.reordering = static_cast<unsigned>(draw.between(50, 600)); break;
    case 3: c.corruption = static_cast<unsigned>(draw.between(50, 300)); break;
    case 4:
        c.delay = time(50 + draw.below(400));
        c.jitter = time(draw.below(200));
        break;
    default: c.loss = c.duplication = c.reordering = c.corruption = static_cast<unsigned>(draw.between(30, 200));
    }
    if (c.loss) fault("loss");
    if (c.duplication) fault("duplication");
    if (c.reordering) fault("reordering");
    if (c.corruption) fault("corruption");
    if (c.delay >= time(50)) fault("delay");
    trace(nullptr, "bad network: loss ", std::to_string(c.loss), ", duplication ", std::to_string(c.duplication),
          ", reordering ", std::to_string(c.reordering), ", corruption ", std::to_string(c.corruption), ", delay ",
          std::to_string(c.delay.count()));
    const link_conditions good{.delay = time(1 + draw.below(10)), .jitter = time(draw.below(10))};
    std::vector<std::pair<std::size_t, std::size_t>> where;
    const bool everywhere = draw.chance(50);
    for (std::size_t a = 0; a < machines.size(); ++a)
        for (std::size_t b = 0; b < machines.size(); ++b)
            if (a != b && (everywhere || draw.chance(40))) where.emplace_back(a, b);
    for (auto [a, b] : where) network.set(a, b, c);
    network.schedule(network.now() + time(200 + draw.below(3000)), [this, where, good] {
        for (auto [a, b] : where) network.set(a, b, good);
    });
}

void world::partition(testing::random_source& draw, bool one_way) {
    std::vector<bool> left(machines.size());
    left[draw.below(plan.nodes)] = true;
    for (std::size_t n = 0; n < left.size(); ++n)
        if (draw.chance(30)) left[n] = true;
    const auto duration = time(100 + draw.below(4000));
    std::size_t bridge = machines.size();
    if (plan.bridges && plan.nodes > 2 && draw.chance(50)) bridge = draw.below(plan.nodes);
    std::vector<std::pair<std::size_t, std::size_t>> where;
    bool cuts = false;
    std::string text;
    for (std::size_t a = 0; a < left.size(); ++a)
        for (std::size_t b = 0; b < left.size(); ++b)
            if (left[a] != left[b] && (!one_way || left[a]) && a != bridge && b != bridge) {
                where.emplace_back(a, b);
                text += " " + machines[a]->name + "-/->" + machines[b]->name;
                cuts |= network.linked(a, b) && machines[a]->exists && machines[b]->exists;
            }
    if (cuts) fault(bridge < machines.size() ? "bridged partition" : one_way ? "one-way partition" : "partition");
    trace(nullptr, "partition:", text);
    for (auto [a, b] : where) network.block(a, b);
    network.schedule(network.now() + duration, [this, where] {
        trace(nullptr, "partition over");
        for (auto [a, b] : where) network.unblock(a, b);
    });
}

// Links that come while others are cut off may lead around that, like any other way.
void world::dial(std::size_t a, std::size_t b) {
    if (random.chance(50)) std::swap(a, b);
    trace(machines[a].get(), "dials ", machines[b]->name);
    network.dial(a, b);
    if (random.chance(30)) network.dial(b, a);
    for (auto [from, to] : {std::pair(a, b), std::pair(b, a)})
        network.set(from, to, {.delay = time(1 + random.below(10)), .jitter = time(random.below(10))});
}

void world::add_link(machine& m, testing::random_source& draw) {
    std::vector<std::size_t> others;
    for (std::size_t n = 0; n < plan.nodes; ++n)
        if (m.place < plan.nodes && n != m.place && !network.linked(m.place, n)) others.push_back(n);
    if (others.empty()) return;
    count("link added");
    dial(m.place, others[draw.below(others.size())]);
}

void world::remove_link(machine& m, testing::random_source& draw) {
    std::vector<std::size_t> others;
    for (std::size_t n = 0; n < plan.nodes; ++n)
        if (m.place < plan.nodes && n != m.place && network.linked(m.place, n)) others.push_back(n);
    if (others.empty()) return;
    const auto other = others[draw.below(others.size())];
    fault("link removed");
    trace(&m, "its link to ", machines[other]->name, " is removed");
    network.hang_up(m.place, other);
    if (!whole()) join_parts_later();
}

void world::join_parts_later() {
    network.schedule(network.now() + time(20 + random.below(1500)), [this] {
        if (guarded.empty())
            join_parts();
        else
            join_parts_later();
    });
}

// What was one network is one again, for every collection.
void world::join_parts() {
    for (std::size_t c = 0; c < names.size(); ++c) {
        for (auto p = parts_of(c); !p.rest.empty(); p = parts_of(c)) {
            count("network in one piece again");
            dial(p.first[random.below(p.first.size())], p.rest[random.below(p.rest.size())]);
        }
    }
}

world::parts world::parts_of(std::size_t collection, bool connected_only, std::size_t without) const {
    parts found;
    for (std::size_t n = 0; n < plan.nodes; ++n)
        if (n != without && machines[n]->opens > collection) found.rest.push_back(n);
    const auto started = [&](std::size_t n) { return machines[n]->id != replica_id{}; };
    const auto reached = [&](std::size_t n) {
        return found.first.empty() || std::any_of(found.first.begin(), found.first.end(), [&](std::size_t a) {
                   return started(a) && network.linked(a, n) && (!connected_only || network.connected(a, n));
               });
    };
    for (;;) {
        const auto next = std::find_if(found.rest.begin(), found.rest.end(), reached);
        if (next == found.rest.end()) return found;
        found.first.push_back(*next);
        found.rest.erase(next);
    }
}

bool world::whole() const {
    for (std::size_t c = 0; c < names.size(); ++c)
        if (!parts_of(c).rest.empty()) return false;
    return true;
}

bool world::connected_without(std::size_t place) const {
    for (std::size_t c = 0; c < names.size(); ++c)
        if (!parts_of(c, true, place).rest.empty()) return false;
    return true;
}

// ---- machines ----

void world::restart_later(machine& m, std::uint64_t draw) {
    network.schedule(network.now() + time(1 + draw % (draw % 3 == 0 ? 2000 : 300)), [&m] { m.start(); });
}

void world::crash_in_step(machine& m, testing::random_source& draw) {
    trace(&m, "is about to die in a storage step");
    const auto keep = draw.below(3);
    if (draw.chance(50)) {
        m.disk->crash_at(draw.between(1, 24), keep);
    } else { // of the next start
        fault("crash");
        m.die("crashes", true);
        m.disk->crash_at(draw.between(1, 8), keep);
        restart_later(m, draw.next());
    }
}

// The group goes on with somebody: if all whom it can reach lost theirs too, they would begin a second one, and groups
// that have pruned apart must not meet (operations.md).
void world::lose_storage(machine& m, testing::random_source& draw) {
    const bool goes_on = std::any_of(machines.begin(), machines.end(), [&](const auto& other) {
        return other.get() != &m && other->running() && !network.paused(other->place) && !other->held() &&
               other->disk->level() != durability::none && network.linked(m.place, other->place) &&
               other->opens >= m.opens;
    });
    if (!goes_on || somebody_is_new()) return;
    fault("storage lost");
    m.die("crashes, and its storage is lost", draw.chance(60));
    empty_disk(m);
    restart_later(m, draw.next());
}

void world::empty_disk(machine& m) {
    storage_lost(m, std::vector<version_vector>(names.size()));
    forget_unpublished(m);
    m.disk = m.disk->another();
    m.lineage = next_lineage++;
    m.copy.reset();
    m.is_new = true;
}

// Two of them who met while the others are away would begin a second group.
bool world::somebody_is_new() const {
    return std::any_of(machines.begin(), machines.end(), [](const auto& m) { return m->is_new; });
}

void world::start_newcomer() {
    auto& m = *machines[plan.nodes - 1];
    if (m.running() || m.id != replica_id{}) return;
    if (somebody_is_new()) return network.schedule(network.now() + time(50), [this] { start_newcomer(); });
    count("newcomers");
    m.is_new = true;
    m.start();
}

// What it had is with somebody who stays; a newcomer comes to its place.
void world::leave(machine& m, testing::random_source& draw) {
    if (m.place >= plan.nodes || m.held() || !m.unpublished.empty() || !m.engine_->writable()) return;
    const bool handed_over = std::any_of(machines.begin(), machines.end(), [&](const auto& other) {
        if (other.get() == &m || !other->running() || network.paused(other->place) || other->held()) return false;
        if (other->disk->level() != durability::full || !network.linked(m.place, other->place)) return false;
        if (other->opens < m.opens) return false;
        for (collection_id c = 0; c < m.opens; ++c)
            if (!m.engine_->version(c).within(other->engine_->version(c))) return false;
        return true;
    });
    if (!handed_over || somebody_is_new()) return;
    fault("leave");
    m.leave();
    empty_disk(m);
    restart_later(m, draw.next());
}

// Who comes back after it was given up has nothing of its own that others lack.
void world::long_absence(machine& m, testing::random_source& draw) {
    machine* who = nullptr;
    for (std::size_t i = 0; i < plan.nodes && !who; ++i) {
        auto& n = *machines[(m.place + i) % plan.nodes];
        if (n.running() && (n.role != node_role::leader || n.disk->level() == durability::none)) who = &n;
    }
    if (!who || somebody_is_new()) return;
    fault("long absence");
    who->die("goes away for long", draw.chance(60));
    const auto& t = options.timings;
    network.schedule(network.now() + t.forget_volatile + t.peer_timeout + time(300 + draw.below(1000)),
                     [who] { who->start(); });
}

void world::count_given_up(replica_id who) {
    for (const auto& m : machines)
        if (m->id == who && !m->running()) count("given up for its silence");
}

// The promise holds if somebody who has all that the lost storage had published is there when it comes back.
void world::set_back(machine& m, testing::random_source& draw) {
    if (!m.copy || m.disk->level() != durability::full) return;
    machine* witness = nullptr;
    const auto owner = m.copy->id;
    for (auto& other : machines) {
        if (other.get() != &m && other->exists && other->id == owner) return; // a clone lives under it
        if (other.get() == &m || !other->running() || network.paused(other->place) || other->held()) continue;
        if (!network.linked(m.place, other->place) || other->opens < m.opens) continue;
        bool has_all = true;
        for (collection_id c = 0; c < m.opens; ++c)
            has_all &= m.engine_->version(c)[owner] <= other->engine_->version(c)[owner];
        if (has_all) witness = other.get();
    }
    if (!witness) return;
    fault("storage set back");
    guarded = {m.place, witness->place};
    witness->disk->crash_at(0);
    witness->disk->fail_at(0);
    for (auto [a, b] : {std::pair(m.place, witness->place), std::pair(witness->place, m.place)}) {
        network.set(a, b, {.delay = time(1)});
        network.unblock(a, b);
    }
    network.restore(m.place, witness->place);
    const auto kept = m.copy->durable;
    m.die("crashes, and its storage is restored from an old copy", true);
    storage_lost(m, kept);
    forget_unpublished(m);
    m.disk = std::move(m.copy->disk);
    m.lineage = next_lineage++;
    m.copy.reset();
    restart_later(m, draw.next());
    watch_set_back(m, *witness);
}

void world::watch_set_back(machine& m, machine& witness) {
    if (m.running() && !m.held()) return guarded.clear();
    if (m.running() && random.chance(60)) m.edit(random.next()); // before anybody has told it anything
    network.schedule(network.now() + time(random.between(1, 10)), [this, &m, &witness] { watch_set_back(m, witness); });
}

bool world::all_at_work() const {
    return whole() && std::all_of(machines.begin(), machines.end(), [&](const auto& m) {
               return !m->exists || (m->running() && !network.paused(m->place) && !m->held());
           });
}

// Nothing else goes wrong until this is over.
void world::guard_all() {
    for (std::size_t n = 0; n < machines.size(); ++n) {
        guarded.insert(n);
        machines[n]->disk->crash_at(0);
        machines[n]->disk->fail_at(0);
    }
    network.set_all({.delay = time(2), .jitter = time(3)});
    network.heal();
}

// What was sent before the node was cut off has reached all of the others, or none, when it comes back.
void world::evict(machine& m, testing::random_source& draw) {
    if (machines.back()->exists || m.disk->level() != durability::full || m.held()) return;
    if (!all_at_work()) return;
    for (std::size_t n = 0; n < plan.nodes; ++n) // what only it has of others, these might depend on
        for (collection_id c = 0; c < std::min(m.opens, machines[n]->opens); ++c)
            if (n != m.place && !m.engine_->version(c).within(machines[n]->engine_->version(c))) return;
    if (!connected_without(m.place)) return;
    fault("eviction");
    guard_all();
    for (std::size_t n = 0; n < plan.nodes; ++n) {
        if (n == m.place) continue;
        network.block(m.place, n);
        network.block(n, m.place);
    }
    trace(&m, "is cut off");
    const auto former = m.id;
    auto& judge = *machines[(m.place + 1 + draw.below(plan.nodes - 1)) % plan.nodes];
    const auto away = time(1000 + draw.below(2000));
    network.schedule(network.now() + time(draw.below(800)), [this, &judge, former] {
        trace(&judge, "evicts ", joinery::to_string(former));
        judge.input([&] { judge.engine_->evict(former); });
    });
    network.schedule(network.now() + away, [this, &m, former] {
        trace(&m, "can be reached again");
        for (std::size_t n = 0; n < plan.nodes; ++n) {
            if (n == m.place) continue;
            network.unblock(m.place, n);
            network.unblock(n, m.place);
        }
        watch_evicted(m, former);
    });
}

void world::watch_evicted(machine& m, replica_id former) {
    if (m.running() && m.id != former && !m.held()) return guarded.clear();
    network.schedule(network.now() + time(20), [this, &m, former] { watch_evicted(m, former); });
}

// The promise holds if the two can hear of each other before the second publishes: what is slow arrives before.
void world::clone(machine& m, testing::random_source& draw) {
    if (!can_be_cloned(m)) return;
    guard_all();
    network.schedule(network.now() + time(700), [this, &m, seed = draw.next()] {
        if (!can_be_cloned(m)) return guarded.clear();
        testing::random_source later(seed);
        open_clone(m, later);
    });
}

bool world::can_be_cloned(const machine& m) const {
    if (machines.back()->exists || m.disk->level() != durability::full || !all_at_work()) return false;
    for (std::size_t n = 0; n < plan.nodes; ++n)
        if (network.linked(m.place, n) && !network.connected(m.place, n)) return false;
    return m.unpublished.empty() && !m.held();
}

void world::open_clone(machine& m, testing::random_source& draw) {
    auto& second = *machines.back();
    fault("clone");
    const bool old = m.copy && draw.chance(50);
    second.disk = old ? m.copy->disk->copy() : m.disk->copy();
    second.opens = m.opens;
    second.lineage = next_lineage++;
    second.must_keep = false;
    second.exists = true;
    trace(&m, old ? "an old copy" : "a copy", " of its storage is opened as ", second.name);
    second.start();
    for (std::size_t n = draw.below(4); n > 0; --n) second.edit(draw.next());
    const auto patience = time(3000 + draw.below(500));
    watch_clone(m, second, draw.next(), network.now() + patience);
}

void world::watch_clone(machine& original, machine& copy, std::uint64_t draw, time patience) {
    const bool two = original.running() && copy.running() && original.id == copy.id;
    if (!two && original.running() && copy.running() && original.engine_->writable() && copy.engine_->writable() &&
        !copy.held() && !original.held())
        return guarded.clear();
    const auto leave = [&](machine& m, std::string_view what) {
        trace(&m, "is told to take a new id");
        count(what);
        if (draw % 3 == 0) m.disk->crash_at(1 + draw % 5); // which may be in the middle of that
        m.input([&] {
            if (!m.engine_->writable()) m.engine_->take_new_id();
        });
        m.disk->crash_at(0);
    };
    if (two && !copy.engine_->writable() && !original.engine_->writable() && draw % 7 == 0) {
        if (draw % 2)
            leave(original, "new ids for an original");
        else
            leave(copy, "new ids for a clone");
    }
    // The other instance died before it could say that it has another id: only an order ends that.
    if (!two && network.now() > patience)
        for (auto* m : {&original, &copy})
            if (m->running() && !m->engine_->writable()) leave(*m, "conflicts with an instance that died");
    if (network.now() > patience + time(20'000)) fail(&copy, "two live nodes have one id, and nobody ends it");
    testing::random_source next(draw);
    network.schedule(network.now() + time(20),
                     [this, &original, &copy, d = next.next(), patience] { watch_clone(original, copy, d, patience); });
}

} // namespace joinery::simulation
