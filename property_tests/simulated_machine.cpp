// SPDX-License-Identifier: Apache-2.0
#include "planted_bugs.hpp"
#include "simulated_world.hpp"

#include <algorithm>

namespace joinery::simulation {

machine::machine(world& w, std::size_t p, std::unique_ptr<simulated_disk> d)
    : world_(w),
      place(p),
      disk(std::move(d)),
      lineage(w.next_lineage++),
      opens(w.names.size()),
      durable(w.names.size()),
      told(w.names.size()),
      checked(w.names.size()),
      held_before(w.names.size()) {}

std::unique_ptr<storage> machine::open_disk() {
    auto opened = disk->open();
    if (world_.bug == planted_bug::acknowledge_early) return lazy_storage(std::move(opened));
    if (world_.bug == planted_bug::dots_reused) return forgetful_storage(std::move(opened), forgetful);
    return opened;
}

void machine::start() {
    if (engine_) return;
    const bool first = id == replica_id{};
    try {
        forgetful = false;
        storage_ = open_disk();
        documents.clear();
        auto options = world_.options;
        options.name = name;
        options.role = role;
        options.expected_peers = world_.neighbours(place);
        engine_.emplace(options, *storage_, *this);
        engine_->tick(world_.network.now());
        for (std::size_t c = 0; c < opens; ++c) {
            auto wall = [this] {
                return static_cast<std::uint64_t>(1'700'000'000'000 + world_.network.now().count() + skew);
            };
            const auto open = world_.is_ledger(c) ? open_ledger : open_document;
            auto& d = *documents.emplace_back(open(wall, world_.bug));
            engine_->attach(world_.names[c], d.seen_by_engine());
        }
    } catch (const storage_crash&) {
        world_.fault("crash in a starting process");
        die("dies while it starts", true);
        return world_.restart_later(*this, world_.random.next());
    } catch (const storage_error& e) {
        world_.fault("storage failure in a starting process");
        die(std::string("does not start: ") + e.what(), true);
        return world_.restart_later(*this, world_.random.next());
    }
    counted = {};
    says.assign(opens, {});
    world_.trace(this, first ? "starts as " : "starts again as ", joinery::to_string(engine_->id()));
    world_.count(first ? "first starts" : "restarts");
    look_at_start();
    world_.network.start(place, *this);
    input([] {});
}

bool machine::held() const {
    for (collection_id c = 0; c < documents.size(); ++c)
        if (engine_->status(c).held) return true;
    return false;
}

void machine::die(std::string_view why, bool notice, bool power) {
    if (engine_) take_counters();
    world_.trace(this, why);
    engine_.reset();
    documents.clear();
    says.clear();
    storage_.reset();
    power ? disk->power_cut() : disk->crash();
    world_.network.stop(place, notice);
    if (disk->level() != durability::none) return;
    is_new = true;
    world_.storage_lost(*this, std::vector<version_vector>(durable.size()));
}

void machine::stop_cleanly() {
    try {
        engine_->close();
        flushed();
    } catch (const storage_crash&) {
    } catch (const storage_error&) {
    }
    die("stops in good order", true);
}

void machine::leave() {
    try {
        engine_->leave();
        engine_->close();
        flushed();
    } catch (const storage_crash&) {
    } catch (const storage_error&) {
    }
    die("leaves", true);
}

void machine::say(std::uint64_t seed) {
    testing::random_source draw(seed);
    const auto c = static_cast<collection_id>(draw.below(opens));
    std::vector<std::byte> bytes(draw.between(1, 12));
    for (auto& b : bytes) b = static_cast<std::byte>(draw.below(256));
    world_.trace(this, "says ", std::to_string(bytes.size()), " bytes of itself in ", world_.names[c]);
    world_.count("presence said");
    input([&] {
        engine_->set_presence(c, bytes, time(300 + draw.below(1500)));
        says[c] = std::move(bytes);
    });
}

void machine::fall_silent() {
    for (collection_id c = 0; c < opens; ++c) {
        if (says[c].empty()) continue;
        world_.trace(this, "says no more in ", world_.names[c]);
        world_.count("presence ended");
        return input([&] {
            engine_->clear_presence(c);
            says[c].clear();
        });
    }
}

void machine::edit(std::uint64_t seed) {
    if (!engine_ || role != node_role::leader) return;
    testing::random_source draw(seed);
    if (!engine_->writable()) return world_.count("edits refused in a conflict");
    const auto c = static_cast<collection_id>(draw.below(documents.size()));
    auto& d = *documents[c];
    edit_record e;
    e.collection = c;
    e.lineage = lineage;
    std::optional<dot_range> dots;
    {
        std::lock_guard lock(d.state().mutex());
        e.operations = draw_operations(draw, d.text(), world_.next_character, world_.plan.wordy && d.text());
        e.seen = d.state().version();
        const auto answer = e.operations.size() % 2 == 0 ? assurance::durable : assurance::received;
        dots = d.edit(e.operations, draw.chance(20) ? answer : assurance::none);
    }
    if (!dots) return;
    e.dots = *dots;
    e.written = d.state().clock().latest();
    if (world_.tracing) {
        std::string text = "edits " + world_.names[c] + " ";
        for (const auto& o : e.operations) text += to_string(o) + ", ";
        world_.trace(this, text, joinery::to_string(dot{dots->replica, dots->first}), "-", std::to_string(dots->last));
    }
    ++world_.result.edits;
    if (engine_->status(c).held) world_.count("edits held back");
    world_.edits.push_back(std::move(e));
    unpublished.push_back(&world_.edits.back());
    if (&d.seen_by_engine() != &d.state() || draw.chance(80)) input([] {});
}

// ---- the network and the engine ----

void machine::received(link_id link, std::span<const std::byte> frame) {
    input([&] { engine_->received(link, frame); });
    if (engine_) check_closed();
}
void machine::connected(link_id link) {
    world_.trace(this, "connected, link ", std::to_string(link));
    input([&] { engine_->connected(link); });
}
void machine::disconnected(link_id link) {
    world_.trace(this, "disconnected, link ", std::to_string(link));
    input([&] { engine_->disconnected(link); });
}
void machine::alarm() {
    input([] {});
}

void machine::broadcast(std::span<const std::byte> frame) {
    const auto out = tamper(frame);
    look_at_frame(out, std::nullopt);
    world_.network.broadcast(place, out);
}
bool machine::send(link_id link, std::span<const std::byte> frame) {
    const auto out = tamper(frame);
    look_at_frame(out, link);
    return world_.network.send(place, link, out);
}
std::span<const std::byte> machine::tamper(std::span<const std::byte> frame) {
    if (world_.bug == planted_bug::none) return frame;
    bool forgetting = false;
    for (const auto& m : world_.machines) forgetting |= m->forgetful;
    tampered_frame_ = tampered_frame(world_.bug, frame, id, forgetting, last_beacon_);
    return tampered_frame_;
}

void machine::notify(const event& e) {
    static constexpr const char* names[] = {"changed",           "peer up",    "peer down",      "identity conflict",
                                            "identity resolved", "new id",     "lost edits",     "incompatible peer",
                                            "rejected",          "divergence", "buffer dropped", "member joined",
                                            "member gone",       "evicted",    "repaired"};
    const std::string what = names[static_cast<std::size_t>(e.kind)];
    world_.count("event: " + what);
    evicted |= e.kind == event_kind::evicted;
    if (e.kind != event_kind::changed) world_.trace(this, "event: ", what, " ", e.text);
    if (e.kind == event_kind::member_gone && world_.plan.forgets) world_.count_given_up(e.peer);
    if (world_.gone_bad && (e.kind == event_kind::divergence || e.kind == event_kind::repaired)) return;
    if (e.kind == event_kind::divergence || e.kind == event_kind::lost_edits ||
        e.kind == event_kind::incompatible_peer || e.kind == event_kind::repaired)
        world_.fail(this, "event: " + what + ": " + e.text);
}

void machine::set_alarm() {
    world_.network.set_alarm(place, std::max(engine_->next_deadline(), world_.network.now() + time(1)));
}

// ---- what is known ----

void machine::publish(edit_record& e) {
    if (e.published) return;
    e.published = e.acknowledged = true;
    durable[e.collection].raise(e.dots.replica, e.dots.last); // else it could not have been published
    world_.by_replica[e.dots.replica].push_back(&e);
}

// After a flush that did not throw: everything that was made here is durable.
void machine::flushed() {
    if (engine_->id() != id) identity_changed();
    find_reissued(id);
    for (collection_id c = 0; c < documents.size(); ++c) durable[c] = engine_->version(c);
    for (collection_id c = 0; c < documents.size(); ++c) held_before[c] = engine_->status(c).held;
    if (!unpublished.empty()) {
        std::erase_if(unpublished, [&](edit_record* e) {
            e->acknowledged = true;
            if (held_before[e->collection]) return false;
            publish(*e);
            return true;
        });
    }
    for (collection_id c = 0; c < documents.size(); ++c) {
        const auto status = engine_->status(c);
        if (status.buffered_bytes > world_.options.limits.buffer)
            world_.fail(this, "more bytes wait than the cap allows: " + std::to_string(status.buffered_bytes));
    }
    const bool waits = held();
    is_new = is_new && waits;
    forgetful = forgetful && waits;
    set_alarm();
}

// Edits that nobody knew have other dots now.
void machine::identity_changed() {
    const replica_id old = id;
    id = engine_->id();
    if (old == replica_id{}) return;
    world_.trace(this, "is ", joinery::to_string(id), " from now on");
    if (std::exchange(evicted, false)) take_back(old);
    std::size_t renamed = 0;
    for (auto* e : unpublished) {
        const auto c = static_cast<collection_id>(e->collection);
        const dot first = engine_->renamed(c, {e->dots.replica, e->dots.first});
        const dot last = engine_->renamed(c, {e->dots.replica, e->dots.last});
        if (first.replica == e->dots.replica) continue;
        ++renamed;
        const auto before = e->dots.replica;
        e->dots = {first.replica, first.seq, last.seq};
        if (const auto s = e->seen[before]; s > 0) {
            const dot now = engine_->renamed(c, {before, s});
            if (now.replica == before) continue;
            e->seen.set(before, s - now.seq);
            e->seen.set(now.replica, now.seq);
        }
    }
    world_.count("edits renamed", renamed);
    for (std::size_t c = 0; c < documents.size(); ++c) {
        version_vector had = documents[c]->state().version();
        had.set(id, 0);
        checked[c].meet(had);
    }
}

void machine::take_back(replica_id old) {
    copy.reset(); // what it has would be made anew once more
    auto& all = world_.by_replica[old];
    for (auto* e : all) {
        const auto c = static_cast<collection_id>(e->collection);
        if (engine_->renamed(c, {old, e->dots.last}).replica == old) continue;
        e->published = false;
        unpublished.push_back(e);
        world_.count("edits of an evicted node");
    }
    std::erase_if(all, [](const auto* e) { return !e->published; });
    std::sort(unpublished.begin(), unpublished.end(), [](const auto* a, const auto* b) { return a->dots < b->dots; });
    for (std::size_t c = 0; c < documents.size(); ++c)
        told[c].set(old, std::min(told[c][old], documents[c]->state().version()[old]));
}

void machine::find_reissued(replica_id who) {
    for (std::size_t c = 0; c < documents.size(); ++c) {
        const auto last = documents[c]->state().context().greatest(who);
        std::uint64_t known = 0;
        for (const auto* e : unpublished)
            if (e->collection == c && e->dots.replica == who) known = std::max(known, e->dots.last);
        if (last <= known || known == 0) continue;
        const auto own = world_.by_replica.find(who);
        if (own != world_.by_replica.end() && std::any_of(own->second.begin(), own->second.end(), [&](const auto* e) {
                return e->collection == c && e->dots.last == last;
            }))
            continue;
        edit_record again;
        again.collection = c;
        again.lineage = lineage;
        again.dots = {who, known + 1, last};
        again.seen = documents[c]->state().version();
        again.seen.set(who, known);
        again.acknowledged = true;
        operation typed{.what = operation::kind::type};
        for (auto* e : unpublished) {
            if (e->collection != c || e->dots.replica != who) continue;
            std::erase_if(e->operations, [&](const operation& o) {
                if (o.what != typed.what) return false;
                typed.text += o.text;
                return true;
            });
        }
        again.operations = {typed};
        world_.edits.push_back(std::move(again));
        unpublished.push_back(&world_.edits.back());
        world_.count("edits made anew");
    }
}

// A rename that was stored but of which nobody heard: the process died in that moment, or has just begun. It
// may have died so and taken yet another id, so the edits are sought: only their id has published nothing.
void machine::renamed_unheard(replica_id old) {
    struct moved {
        std::uint64_t stay; // dots of the old id that stay
        replica_id to;
    };
    std::map<std::size_t, moved> found; // by collection
    for (const auto* e : unpublished) {
        if (!held_before[e->collection] || e->dots.replica != old) continue;
        replica_id to{};
        for (const auto& [replica, seq] : documents[e->collection]->state().version())
            if (replica != old && !world_.by_replica.contains(replica)) to = replica;
        if (to == replica_id{}) continue; // they are as they were
        const auto at = found.try_emplace(e->collection, moved{e->dots.first - 1, to}).first;
        at->second.stay = std::min(at->second.stay, e->dots.first - 1);
    }
    for (auto* e : unpublished) {
        const auto at = found.find(e->collection);
        if (at == found.end() || e->dots.replica != old) continue;
        const auto [stay, to] = at->second;
        const auto seen = e->seen[old];
        e->dots = {to, e->dots.first - stay, e->dots.last - stay};
        if (seen <= stay) continue;
        e->seen.set(old, stay);
        e->seen.set(to, seen - stay);
    }
    world_.count("new ids that a crash hid", found.size());
}

// What the storage gave back, compared with what it must have.
void machine::look_at_start() {
    const auto now = engine_->id();
    const replica_id old = std::exchange(id, now);
    for (std::size_t c = 0; c < documents.size(); ++c) {
        const auto version = documents[c]->state().version();
        if (!documents[c]->state().context().gapless()) world_.fail(this, "a restored state has gaps");
        if (must_keep && !forgetful && !told[c].within(version))
            world_.fail(this, "after a restart it has " + joinery::to_string(version) + " of " + world_.names[c] +
                                  ", but has told others of " + joinery::to_string(told[c]));
        checked[c] = version;
    }
    if (old != now && old != replica_id{}) {
        find_reissued(old);
        renamed_unheard(old);
    }
    find_reissued(now);
    std::erase_if(unpublished, [&](edit_record* e) {
        if (documents[e->collection]->state().context().contains(e->dots)) return false;
        if (e->acknowledged && must_keep && !forgetful)
            world_.fail(this, "an acknowledged edit is not there after a restart: " +
                                  joinery::to_string(dot{e->dots.replica, e->dots.first}));
        e->gone = true;
        return true;
    });
    if (!must_keep)
        for (auto& t : told) t = {};
    must_keep = disk->level() != durability::none;
    for (std::size_t c = 0; c < documents.size(); ++c) durable[c] = documents[c]->state().version();
    for (auto* e : unpublished) e->acknowledged = true;
    for (collection_id c = 0; c < documents.size(); ++c) held_before[c] = engine_->status(c).held;
}

// Only what came in since the last time is looked at.
void machine::check_closed() {
    for (std::size_t c = 0; c < documents.size(); ++c) {
        const auto& context = documents[c]->state().context();
        auto version = context.version();
        if (version == checked[c]) continue;
        if (!context.gapless()) world_.fail(this, "the state of " + world_.names[c] + " has gaps");
        for (const auto& [replica, last] : version) {
            const auto from = checked[c][replica];
            if (last <= from || replica == id) continue;
            std::uint64_t found = 0;
            for (const auto* e : world_.by_replica[replica]) {
                if (e->collection != c || e->dots.last <= from || e->dots.first > last) continue;
                found += e->dots.size();
                if (!e->seen.within(version))
                    world_.fail(this, "it has " + joinery::to_string(dot{replica, e->dots.first}) + " of " +
                                          world_.names[c] + ", but not all that this had seen: " +
                                          joinery::to_string(e->seen) + " against " + joinery::to_string(version));
            }
            if (found != last - from)
                world_.fail(this, "dots that nobody issued, or half an edit: up to " +
                                      joinery::to_string(dot{replica, last}));
        }
        checked[c] = std::move(version);
    }
}

} // namespace joinery::simulation
