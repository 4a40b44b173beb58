// SPDX-License-Identifier: Apache-2.0
// What a machine says to others, what it shows, and what every storage together must keep.
#include "simulated_world.hpp"

#include <joinery/messages.hpp>

#include <algorithm>

namespace joinery::simulation {

std::size_t world::collection_of(channel c) const {
    return static_cast<std::size_t>(std::find(channels.begin(), channels.end(), c) - channels.begin());
}

// Everything that leaves is read: it must be durable, and no dot may mean two things.
void machine::look_at_frame(std::span<const std::byte> frame, std::optional<link_id> to) {
    const auto opened = open_frame(frame);
    if (!opened) return;
    if (engine_->id() != id) identity_changed();
    find_reissued(id);
    const auto said = [&](std::size_t c, const version_vector& version) {
        if (c >= told.size()) return;
        told[c].join(version);
        std::erase_if(unpublished, [&](edit_record* e) {
            if (e->collection != c || !version.contains({e->dots.replica, e->dots.last})) return false;
            publish(*e);
            return true;
        });
    };
    message_reader reader(opened->body);
    message m;
    for (auto more = reader.next(m); more && *more; more = reader.next(m)) {
        if (const auto* h = std::get_if<hello>(&m)) {
            for (std::size_t c = 0; c < world_.names.size(); ++c)
                for (const auto& theirs : h->collections)
                    if (theirs.name == name_digest(world_.names[c])) said(c, theirs.version);
            for (const auto& mine : h->collections) {
                if (!mine.member) world_.count("hellos of who waits to be let in");
                if (mine.fallen_back) world_.count("hellos to who once had more");
            }
        } else if (const auto* b = std::get_if<beacon>(&m)) {
            for (const auto& mine : b->collections) said(world_.collection_of(mine.channel), mine.version);
        } else if (const auto* u = std::get_if<update>(&m)) {
            const auto dots = edit_dots(u->delta);
            if (!dots) continue;
            const world::content now{dots->last, digest(u->delta)};
            const auto [at, added] =
                world_.published.try_emplace({u->channel.value, dot{dots->replica, dots->first}}, now);
            if (!added && (at->second.last != now.last || at->second.digest != now.digest))
                world_.fail(this,
                            "a dot is published again with other content: " + joinery::to_string(at->first.second));
            if (dots->replica != id) continue;
            const auto c = world_.collection_of(u->channel);
            const auto e = std::find_if(unpublished.begin(), unpublished.end(),
                                        [&](const auto* x) { return x->collection == c && x->dots == *dots; });
            if (e == unpublished.end()) continue;
            publish(**e);
            unpublished.erase(e);
        } else if (const auto* w = std::get_if<relaying>(&m)) {
            static constexpr std::string_view wishes[] = {"", "relays unwanted", "relays wanted", "relays cut off"};
            world_.count(wishes[static_cast<std::size_t>(w->wish)]);
        } else if (const auto* r = std::get_if<refuse>(&m)) {
            world_.count("refusal: " + std::string(joinery::to_string(r->reason)));
        } else if (const auto* p = std::get_if<pull>(&m)) { // who is below the horizon gets a complete state
            const auto c = world_.collection_of(p->channel);
            const auto& asked = *world_.machines[world_.network.other_end(*to)];
            if (!p->repair && c < asked.documents.size() && !asked.documents[c]->state().horizon().within(p->version))
                world_.below_horizon.insert(p->request);
        } else if (const auto* k = std::get_if<chunk>(&m)) {
            if (k->offset + k->bytes.size() == k->total && world_.below_horizon.erase(k->request) > 0)
                world_.count("complete states for who was below the horizon");
        }
    }
}

void machine::take_counters() {
    std::vector<std::uint64_t> before;
    counted.for_each([&](std::string_view, std::uint64_t n) { before.push_back(n); });
    std::size_t i = 0;
    engine_->counters().for_each(
        [&](std::string_view what, std::uint64_t n) { world_.count("engine: " + std::string(what), n - before[i++]); });
    counted = engine_->counters();
    for (const auto& d : documents) world_.count("clocks not believed", d->state().clock().rejected());
}

// The edits that are in its document.
std::vector<const edit_record*> machine::visible(std::size_t collection) const {
    const auto version = documents[collection]->state().version();
    std::uint64_t own_from = UINT64_MAX;
    std::vector<const edit_record*> out;
    for (const auto* e : unpublished) {
        if (e->collection != collection) continue;
        if (e->dots.replica == id) own_from = std::min(own_from, e->dots.first);
        if (version.contains({e->dots.replica, e->dots.last})) out.push_back(e);
    }
    for (const auto& e : world_.edits) {
        if (e.collection != collection || !e.published || !version.contains({e.dots.replica, e.dots.last})) continue;
        if (e.dots.replica == id && e.dots.first >= own_from) continue;
        out.push_back(&e);
    }
    return out;
}

void machine::compare_with_specification(std::size_t collection) {
    const auto seen = visible(collection);
    std::uint64_t dots = 0, had = 0;
    for (const auto* e : seen) dots += e->dots.size();
    const auto version = documents[collection]->state().version();
    for (const auto& [replica, last] : version) had += last;
    if (dots != had)
        world_.fail(this, "its edits have " + std::to_string(dots) + " dots, but its version says " +
                              joinery::to_string(version));
    const auto shown = documents[collection]->show();
    const auto wanted = specified(seen);
    if (shown != wanted)
        world_.fail(this,
                    world_.names[collection] + " shows\n    " + shown + "\nand the specification says\n    " + wanted);
    world_.count("comparisons with the specification");
}

// True if the machine's disk surely has the edit.
bool world::holds(const machine& m, const edit_record& e) const {
    if (!e.published) return m.lineage == e.lineage && e.acknowledged && !e.gone;
    if (!m.durable[e.collection].contains({e.dots.replica, e.dots.last})) return false;
    return std::none_of(m.unpublished.begin(), m.unpublished.end(), [&](const edit_record* own) {
        return own->collection == e.collection && own->dots.replica == e.dots.replica &&
               own->dots.first <= e.dots.last; // a dot of its own, of the same name
    });
}

void world::storage_lost(machine& m, const std::vector<version_vector>& kept) {
    for (auto& e : edits) {
        if (!e.acknowledged || e.excused || e.gone) continue;
        if (!holds(m, e) || kept[e.collection].contains({e.dots.replica, e.dots.last})) continue;
        const bool elsewhere = std::any_of(machines.begin(), machines.end(), [&](const auto& other) {
            return other.get() != &m && other->exists && holds(*other, e);
        });
        if (elsewhere) continue;
        e.excused = true;
        count("edits that may be lost with their last storage");
    }
    m.durable = kept;
    m.must_keep = false;
}

void world::forget_unpublished(machine& m) {
    for (auto* e : m.unpublished) e->gone = true;
    m.unpublished.clear();
}

void world::fail(const machine* m, const std::string& what) {
    std::string where = "after " + std::to_string(network.now().count()) + " ms";
    if (m) where += ", " + m->name;
    throw violation(where + ": " + what);
}

void world::write_trace(const machine* m, const std::string& text) {
    auto at = std::to_string(network.now().count());
    at.insert(0, at.size() < 7 ? 7 - at.size() : 0, ' ');
    result.trace.push_back(at + "  " + (m ? m->name : std::string("-")) + "  " + text);
}

} // namespace joinery::simulation
