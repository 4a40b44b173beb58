// SPDX-License-Identifier: Apache-2.0
#include "engine_core.hpp"

#include <joinery/digest.hpp>

#include <bit>

namespace joinery {

namespace {

// What one comparison may make a peer look at while it holds the state.
constexpr std::uint64_t max_dots = 65'536;
constexpr std::uint64_t fan_out = 16;
// The digest of a state with more dots is made of those of its blocks, one with each flush: readers do not wait for it.
constexpr std::uint64_t most_at_once = 16'384, block = 4096;

std::uint64_t digest_of_version(const version_vector& v) { return digest(encode(v)); }

std::vector<dot_range> blocks_of(const comparison& m) {
    std::vector<dot_range> blocks;
    m.for_each_block([&](const dot_range& b) { blocks.push_back(b); });
    return blocks;
}

} // namespace

// ---- noticing ----

bool engine::core::settled(const collection& c) {
    return c.state->context().gapless() && c.state->version() == c.version;
}

// None yet if it is made step by step: once it is there, a beacon has it.
std::optional<std::uint64_t> engine::core::digest_of(collection& c) {
    auto& d = c.digest;
    if (d.version == c.version && (d.whole || !d.left.empty())) return d.whole;
    d = {c.version, digest_of_version(c.version), {}, {}};
    std::uint64_t dots = 0;
    for (const auto& [r, seq] : c.version) dots += seq;
    if (dots > most_at_once && !c.state->leaves_tombstones()) { // where elements stand counts, too
        for (const auto& [r, seq] : c.version) d.left.push_back({r, 1, seq});
        return std::nullopt;
    }
    std::lock_guard lock(c.state->mutex());
    if (settled(c)) d.whole = c.state->digest();
    return d.whole;
}

void engine::core::digest_more(collection& c) {
    auto& d = c.digest;
    if (d.left.empty()) return;
    auto& r = d.left.back();
    const dot_range next{r.replica, r.first, std::min(r.last, r.first + block - 1)};
    {
        std::lock_guard lock(c.state->mutex());
        if (d.version != c.version || !settled(c)) return d.left.clear();
        d.sum = combine(d.sum, c.state->digests({&next, 1}).front());
    }
    if (next.last == r.last)
        d.left.pop_back();
    else
        r.first = next.last + 1;
    wake(now);
    if (!d.left.empty()) return;
    d.whole = d.sum;
    audit_due = beacon_due = true;
}

void engine::core::audit(collection& c, replica_id from, view& v, const beacon::collection& b) {
    if (b.version != c.version || c.held || c.repair.deadline != never || c.pull.request) return;
    const auto mine = digest_of(c);
    if (!mine || *mine == *b.digest) return;
    if (v.diverged_at != b.version) { // once, however long it takes
        v.diverged_at = b.version;
        ++counters.divergences;
        auto& e = note(event_kind::divergence, c.number);
        e.peer = from;
        e.text = "\"" + c.name + "\" differs at " + to_string(b.version);
        audit_due = beacon_due = true; // so that the peer notices, too
    }
    auto* k = link_to(peers.at(from));
    if (!k) return;
    c.repair = {};
    c.repair.peer = from;
    c.repair.theirs = *b.digest;
    std::uint64_t last = 1;
    for (const auto& [r, seq] : c.version) last = std::max(last, seq);
    c.repair.width = std::uint64_t{1} << (std::bit_width(last - 1) / 4 * 4);
    while (c.repair.width > max_dots / fan_out) c.repair.width /= fan_out;
    c.repair.found = causal_context(c.version);
    compare_next(c, *k);
}

// ---- comparing ----

// The next blocks; those that were found to differ are then compared sixteen times as closely.
void engine::core::compare_next(collection& c, link& k) {
    auto& r = c.repair;
    if (r.open.empty()) {
        if (!r.asked.empty()) {
            if (r.width == 1 || r.found.empty()) return compared(c);
            r.width /= fan_out;
        }
        r.open = std::exchange(r.found, {});
    }
    comparison m{c.channel, 0, digest_of_version(c.version), r.width, {}};
    std::uint64_t dots = 0;
    std::size_t blocks = 0;
    comparison all{{}, 0, 0, r.width, std::exchange(r.open, {})};
    r.asked.clear();
    all.for_each_block([&](const dot_range& b) {
        const auto n = b.last - b.first + 1;
        if (blocks < comparison::max_blocks && (blocks == 0 || dots + n <= max_dots)) {
            m.dots.add(b);
            r.asked.push_back(b);
            ++blocks;
            dots += n;
        } else {
            blocks = comparison::max_blocks; // the rest, however small
            r.open.add(b);
        }
    });
    {
        std::lock_guard lock(c.state->mutex());
        if (!settled(c)) return static_cast<void>(r = {});
        r.digests = c.state->digests(r.asked);
    }
    r.request = m.request = next_request++;
    r.deadline = now + options.timings.pull_timeout;
    wake(r.deadline);
    k.out.add(m);
    ++counters.comparisons_sent;
}

// Who compares has one comparison of a collection under way: a later one takes the place of one that is not answered.
void engine::core::on_comparison(link_id l, link& k, const comparison& m) {
    auto* c = find(m.channel);
    if (!peer_of(k)) return;
    if (!c) {
        if (!options.access) k.out.add(digests{m.channel, m.request, {}}); // else it would tell what there is
        return;
    }
    if (!may(k, *c, access_right::read)) return deny(l, k, c, "a comparison");
    const auto same = [&](const auto& w) { return w.first == l && w.second.channel == m.channel; };
    if (const auto at = std::find_if(comparisons.begin(), comparisons.end(), same); at != comparisons.end())
        at->second = m;
    else
        comparisons.emplace_back(l, m);
}

// A few bytes ask for the digests of many dots, so there is one with each flush: others have their turn in between.
void engine::core::answer_comparison() {
    if (comparisons.empty()) return;
    const auto [l, m] = std::move(comparisons.front());
    comparisons.pop_front();
    if (!comparisons.empty()) wake(now);
    const auto k = links.find(l);
    const auto& c = *find(m.channel);
    if (k == links.end() || !may(k->second, c, access_right::read)) return;
    digests answer{m.channel, m.request, {}};
    if (!c.held && m.version == digest_of_version(c.version)) {
        const auto blocks = blocks_of(m);
        std::uint64_t dots = 0;
        for (const auto& b : blocks) dots = std::min(dots + (b.last - b.first + 1), max_dots + 1);
        std::lock_guard lock(c.state->mutex());
        if (dots <= max_dots && settled(c)) answer.values = c.state->digests(blocks);
    }
    k->second.out.add(answer);
    ++counters.comparisons_answered;
}

void engine::core::on_digests(link& k, const digests& m) {
    auto* c = find(m.channel);
    if (!c || c->repair.deadline == never || c->repair.request != m.request || k.peer != c->repair.peer) return;
    auto& r = c->repair;
    r.deadline = never;
    if (m.values.size() != r.asked.size()) return; // one of us has moved on: the next audit begins again
    for (std::size_t i = 0; i < m.values.size(); ++i)
        if (differs(r.digests[i], m.values[i], r.width)) r.found.add(r.asked[i]);
    compare_next(*c, k);
}

// Of a single dot the greater stays: what lives rather than what is gone for no known reason, and what was removed
// rather than what lives.
bool engine::core::differs(std::uint64_t mine, std::uint64_t theirs, std::uint64_t width) {
    if (width > 1) return mine != theirs;
    return mine < theirs && !(mine == 0 && theirs == removed_digest);
}

void engine::core::compared(collection& c) {
    auto& r = c.repair;
    if (!r.found.empty()) return start_repair(c, std::exchange(r.found, {}));
    if (r.width == 1) return; // the peer is the one to mend
    // All that lives is the same, and the states are not: the greater digest decides.
    const auto mine = digest_of(c);
    if (mine && *mine < r.theirs) start_repair(c, {});
}

// ---- repairing ----

void engine::core::start_repair(collection& c, causal_context dots) {
    if (c.pull.request || !link_to(peers.at(c.repair.peer))) return;
    joinery::pull what;
    what.version = c.version;
    what.repair = true;
    what.dots = std::move(dots);
    start_pull(c, c.repair.peer, std::move(what));
}

std::optional<std::vector<std::byte>> engine::core::answer_to_repair(collection& c, const joinery::pull& m) {
    if (m.version != c.version) return std::nullopt;
    std::lock_guard lock(c.state->mutex());
    if (!settled(c)) return std::nullopt;
    return m.dots.empty() ? c.state->whole() : c.state->extract(m.dots);
}

// Of both, one after the other, the greater: so the order in which peers repair each other makes no difference.
void engine::core::finish_repair(link_id l, link& k, collection& c) {
    const auto request = std::move(*c.pull.request);
    const auto answer = c.pull.staged.bytes();
    const auto from = c.pull.peer;
    peers.at(from).views[c.number].failures = 0;
    c.pull = {};
    c.check_pull = true;
    ++counters.pulls_completed;
    const auto parts = parts_of(answer);
    if (!relays(k, c)) return;
    if (!parts || parts->deltas.size() != 1) return reject(l, k, decode_error::invalid_value);
    const auto bytes = parts->deltas.front();
    {
        std::lock_guard lock(c.state->mutex());
        if (c.held || request.version != c.version || !settled(c)) return;
        if (request.dots.empty()) {
            const auto covered = coverage_of(bytes);
            if (!covered || *covered != c.state->context()) return reject(l, k, decode_error::invalid_value);
        }
        const auto read = request.dots.empty() ? c.state->restore(id, bytes) : c.state->replace(bytes, request.dots);
        if (!read) return reject(l, k, read.error());
    }
    write_all(c);
    c.digest = {};
    c.remote = true;
    audit_due = beacon_due = true;
    // Where a dot stands for two things, each may take the other's for ever: not without a pause.
    c.repair = {};
    c.repair.deadline = now + jitter(options.timings.beacon);
    wake(c.repair.deadline);
    const auto dots = request.dots.count();
    ++counters.repairs;
    counters.dots_repaired += dots;
    auto& e = note(event_kind::repaired, c.number);
    e.peer = from;
    e.text = request.dots.empty() ? "the complete state of \"" + c.name + "\""
                                  : std::to_string(dots) + " dots of \"" + c.name + "\"";
}

void engine::core::repairs_at_time() {
    for (auto& c : collections) {
        if (c.repair.deadline == never) continue;
        if (now < c.repair.deadline) {
            wake(c.repair.deadline);
            continue;
        }
        if (c.repair.request == 0) audit_due = beacon_due = true; // after a repair: is there more?
        c.repair = {};
    }
}

} // namespace joinery
