// SPDX-License-Identifier: Apache-2.0
#include "hostile_peer.hpp"

#include "../fuzz/framing.hpp"

#include <joinery/digest.hpp>

#include <algorithm>
#include <array>

using namespace joinery;

const std::vector<hostile_peer::kind>& hostile_peer::kinds() {
    using h = hostile_peer;
    static const std::vector<kind> all{
        {"random bytes", 1, 4000, false, &h::noise_frame},
        {"real traffic cut off", 1, 8000, false, &h::cut_off},
        {"real traffic, a bit flipped", 1, 8000, false, &h::flip_unmended},
        {"real traffic, bits flipped", 2, 24000, true, &h::flip_mended},
        {"real traffic, spliced", 1, 16000, true, &h::splice},
        {"real traffic again, out of order", 2, 1000, false, &h::replay},
        {"own edits, bits flipped", 1, 8000, true, &h::own_changed},
        {"own edits, some dated years ahead; of others", 2, 2000, false, &h::own_edits},
        {"edits without those before them", 1, 20, false, &h::gaps},
        {"hello under another id", 1, 200, false, &h::change_id},
        {"beacons", 1, 8000, false, &h::beacons},
        {"versions of made-up replicas", 1, 20, false, &h::made_up_versions},
        {"sequence numbers near 2^62 and 2^64", 1, 2000, false, &h::beyond},
        {"chunks that nobody asked for", 1, 5, false, &h::chunks},
        {"answers to pulls", 1, 500, false, &h::answer},
        {"members", 1, 20, false, &h::members},
        {"acknowledgements", 1, 2000, false, &h::acknowledge},
        {"presences", 1, 20, false, &h::presences},
        {"requests and replies", 1, 20, false, &h::requests},
        {"pulls of everything", 1, 200, false, &h::pulls},
        {"questions", 1, 2000, false, &h::questions},
        {"refusals", 1, 500, false, &h::refusals},
        {"hello again", 1, 1000, false, &h::hello_again},
        {"connecting anew", 1, 2, false, &h::connect_anew},
        {"greater than a frame may be", 0, 1, false, &h::oversize},
    };
    return all;
}

hostile_peer::hostile_peer(setting s, std::uint64_t seed)
    : set_(std::move(s)), random_(seed), given_(kinds().size()), nodes_(set_.nodes), nonce_(random_() | 1) {
    for (auto& [name, edits] : set_.collections) {
        auto& c = all_.emplace_back();
        c.name = name_digest(name);
        c.channel = channel_of(c.name, edits->fingerprint());
        c.made = std::move(edits);
    }
}

// ---- what it hears ----

void hostile_peer::meet(replica_id who) {
    if (who != set_.id && known_.size() < 64 && std::find(known_.begin(), known_.end(), who) == known_.end())
        known_.push_back(who);
}

void hostile_peer::overhear(std::span<const std::byte> frame) {
    constexpr std::size_t most = 256; // of all times
    auto& room = remembered_.size() < most ? remembered_.emplace_back() : remembered_[random_() % most];
    room.assign(frame.begin(), frame.end());
}

void hostile_peer::hear(std::size_t from, std::span<const std::byte> frame) {
    overhear(frame);
    const auto opened = open_frame(frame);
    if (!opened) return;
    message_reader reader(opened->body);
    message m;
    auto& n = nodes_[from];
    for (auto more = reader.next(m); more && *more; more = reader.next(m)) {
        if (const auto* h = std::get_if<hello>(&m)) {
            meet(n.id = h->replica);
            n.nonce = h->nonce;
            n.challenge = h->challenge;
            for (const auto& c : h->collections) n.versions[channel_of(c.name, c.fingerprint)] = c.version;
        } else if (const auto* b = std::get_if<beacon>(&m)) {
            meet(b->replica);
            if (b->replica != n.id) continue;
            for (const auto& c : b->collections) n.versions[c.channel] = c.version;
        } else if (const auto* p = std::get_if<pull>(&m)) {
            n.pulled = *p;
        } else if (const auto* u = std::get_if<update>(&m)) {
            if (const auto dots = edit_dots(u->delta)) meet(dots->replica);
        }
    }
}

// ---- who and what it speaks of ----

replica_id hostile_peer::somebody() { return known_.empty() ? made_up() : known_[random_() % known_.size()]; }
replica_id hostile_peer::made_up() { return replica_id{random_() % 4 == 0 ? random_() | 1 : random_() % 50'000 + 1}; }
replica_id hostile_peer::anybody() { return random_() % 2 ? somebody() : random_() % 2 ? made_up() : set_.id; }

// Near what a sequence number can be, or near what it is.
std::uint64_t hostile_peer::sequence() {
    switch (random_() % 4) {
    case 0: return max_sequence - random_() % 3;
    case 1: return random_() % max_sequence + 1;
    default: return random_() % 40 + 1;
    }
}

version_vector hostile_peer::version(std::size_t replicas) {
    version_vector v;
    for (std::size_t i = 0; i < replicas; ++i) v.raise(anybody(), sequence());
    return v;
}

version_vector hostile_peer::version_of_made_up(std::size_t replicas) {
    version_vector v;
    auto who = random_() >> 1;
    for (std::size_t i = 0; i < replicas; ++i) v.raise(replica_id{who += random_() % 1000 + 1}, sequence());
    return v;
}

std::span<const std::byte> hostile_peer::noise(std::size_t size) {
    noise_.resize(size);
    for (auto& b : noise_) b = static_cast<std::byte>(random_());
    return noise_;
}

hello hostile_peer::hello_now() {
    hello h;
    h.replica = set_.id;
    h.nonce = nonce_;
    h.name = "hostile";
    h.challenge = random_() % 2;
    for (const auto& c : all_) h.collections.push_back({c.name, c.made->fingerprint(), {}, true, true});
    return h;
}

// The one that a node lacks next, or any.
const hostile_peer::bytes& hostile_peer::own_edit(std::size_t to, collection& c) {
    const auto has = nodes_[to].versions[c.channel][set_.id];
    auto next = std::upper_bound(c.edits.begin(), c.edits.end(), has,
                                 [](std::uint64_t seq, const auto& e) { return seq < e.first; });
    if (next == c.edits.end() && c.edits.size() < set_.most_edits) {
        c.edits.push_back(c.made->next(random_() % 4 == 0));
        next = std::prev(c.edits.end());
    }
    return next == c.edits.end() || random_() % 8 == 0 ? c.edits[random_() % c.edits.size()].second : next->second;
}

const hostile_peer::bytes& hostile_peer::remembered() {
    static const bytes none;
    return remembered_.empty() ? none : remembered_[random_() % remembered_.size()];
}

// ---- saying ----

void hostile_peer::act(mixture m) {
    const auto weight = [&](const kind& k) { return m == mixture::many ? k.many : k.few; };
    const auto& all = kinds();
    while (begun_ < all.size() && weight(all[begun_]) == 0) ++begun_;
    if (begun_ < all.size()) { // each once, in order
        current_ = begun_++;
    } else {
        std::uint64_t sum = 0;
        for (const auto& k : all) sum += weight(k);
        auto left = random_() % sum;
        for (current_ = 0; left >= weight(all[current_]); ++current_) left -= weight(all[current_]);
    }
    (this->*all[current_].run)(random_() % set_.nodes);
}

void hostile_peer::raw(std::size_t to, std::span<const std::byte> frame) {
    ++frames_;
    ++given_[current_];
    set_.give(to, frame);
}

template <class... M> void hostile_peer::say(std::size_t to, const M&... m) {
    message_batch b;
    (b.add(m), ...);
    raw(to, b.close(random_() % 2 ? frame_kind::direct : frame_kind::broadcast));
}

void hostile_peer::greet(std::size_t to) {
    auto h = hello_now();
    h.echo = nodes_[to].challenge;
    say(to, h);
}

// ---- real traffic ----

void hostile_peer::noise_frame(std::size_t to) { raw(to, noise(random_() % 300)); }

void hostile_peer::cut_off(std::size_t to) {
    auto f = remembered();
    if (!f.empty()) f.resize(random_() % f.size());
    raw(to, f);
}

void hostile_peer::flip(bytes& b, std::size_t bits) {
    for (; bits > 0 && !b.empty(); --bits) b[random_() % b.size()] ^= static_cast<std::byte>(1u << random_() % 8);
}

void hostile_peer::flip_unmended(std::size_t to) {
    auto f = remembered();
    flip(f, 1);
    raw(to, f);
}

void hostile_peer::flip_body(std::size_t to, std::span<const std::byte> frame) {
    const auto opened = open_frame(frame);
    if (!opened) return;
    bytes body(opened->body.begin(), opened->body.end());
    flip(body, random_() % 3 + 1);
    raw(to, fuzz::framed(body, opened->kind));
}

void hostile_peer::flip_mended(std::size_t to) { flip_body(to, remembered()); }

void hostile_peer::splice(std::size_t to) {
    std::array<std::byte, 16> how;
    for (auto& b : how) b = static_cast<std::byte>(random_());
    fuzz::input in(how);
    const auto first = remembered();
    raw(to, fuzz::changed(first, remembered(), static_cast<unsigned>(random_() % 192), in)); // above: with a wrong one
}

void hostile_peer::replay(std::size_t to) {
    for (auto n = random_() % 20; n > 0; --n) raw(to, remembered());
}

void hostile_peer::own_changed(std::size_t to) {
    auto& c = any();
    message_batch b;
    b.add(update{c.channel, assurance::none, {}, own_edit(to, c)});
    flip_body(to, b.close(frame_kind::broadcast));
}

// ---- edits ----

// Of its own as it may; and of others, and of dots that nobody comes to.
void hostile_peer::own_edits(std::size_t to) {
    auto& c = any();
    say(to, update{c.channel, assurance::durable, {}, own_edit(to, c)});
    if (random_() % 2) return;
    std::optional<dot_range> as;
    if (random_() % 2) {
        const auto seq = sequence();
        as = dot_range{anybody(), seq, seq};
    }
    const auto forged = c.made->forged(anybody(), as);
    say(to, update{c.channel, assurance::received, version(3), forged}, update{c.channel, assurance::none, {}, forged});
}

void hostile_peer::gaps(std::size_t to) {
    auto& c = any();
    const auto all = c.made->again(60);
    for (std::size_t i = 1; i < all.size(); i += 2) say(to, update{c.channel, assurance::none, version(3), all[i]});
}

// ---- lies ----

void hostile_peer::hello_again(std::size_t to) {
    auto h = hello_now();
    h.echo = random_() % 2 ? nodes_[to].challenge : random_() % 2;
    if (random_() % 2) h.collections[0].version = version(5);
    h.collections[0].fallen_back = random_() % 2;
    say(to, h);
}

void hostile_peer::change_id(std::size_t to) {
    auto h = hello_now();
    switch (random_() % 5) {
    case 0: h.replica = somebody(); break;
    case 1: h.replica = made_up(); break;
    case 2: h.nonce = nodes_[random_() % nodes_.size()].nonce; break;
    case 3: h.nonce = random_(); break;
    default:
        for (unsigned i = 0; i < 3; ++i) h.formers.push_back(somebody());
    }
    say(to, h);
    greet(to);
}

void hostile_peer::connect_anew(std::size_t to) {
    set_.reconnect(to);
    greet(to);
}

void hostile_peer::beacons(std::size_t to) {
    auto& c = any();
    beacon m{random_() % 4 ? set_.id : somebody(), nonce_, {}};
    m.collections.push_back({c.channel, version(random_() % 20), random_(), random_()});
    if (random_() % 2) m.collections[0].version = nodes_[to].versions[c.channel]; // with another digest
    say(to, m);
}

void hostile_peer::made_up_versions(std::size_t to) {
    const auto c = any().channel;
    const auto v = version_of_made_up(random_() % 20 == 0 ? 20'000 : random_() % 1500);
    switch (random_() % 4) {
    case 0: return say(to, beacon{set_.id, nonce_, {{c, v, 1, std::nullopt}}});
    case 1: return say(to, receipt{c, v});
    case 2: {
        auto h = hello_now();
        h.collections[0].version = v;
        return say(to, h);
    }
    default: return say(to, acknowledgements{c, {{set_.id, 1, v}, {somebody(), 1, v}}});
    }
}

// Numbers that this library does not write take the place of the greatest that it does.
void hostile_peer::beyond(std::size_t to) {
    version_vector v;
    v.raise(anybody(), max_sequence);
    message_batch b;
    b.add(beacon{set_.id, nonce_, {{any().channel, v, 1, std::nullopt}}});
    const auto opened = open_frame(b.close(frame_kind::direct));
    bytes body(opened->body.begin(), opened->body.end()), greatest, other;
    compact_output_archive(greatest).varint(2 * max_sequence); // zigzag
    compact_output_archive(other).varint(random_() % 2 ? UINT64_MAX - random_() % 3 : 2 * max_sequence + random_() % 6);
    const auto at = std::search(body.begin(), body.end(), greatest.begin(), greatest.end());
    if (at == body.end()) return;
    const auto after = body.erase(at, at + static_cast<std::ptrdiff_t>(greatest.size()));
    body.insert(after, other.begin(), other.end());
    raw(to, fuzz::framed(body, frame_kind::direct));
}

void hostile_peer::chunks(std::size_t to) {
    const auto part = noise(60'000);
    const auto c = any().channel;
    for (unsigned i = 0; i < 20; ++i)
        say(to, chunk{c, random_() % 2 ? random_() : i, digest(part), i * 60'000, 1'200'000, part});
}

// To what it was asked: its own state, some of it changed, in two chunks.
void hostile_peer::answer(std::size_t to) {
    const auto& p = nodes_[to].pulled;
    const auto c = std::find_if(all_.begin(), all_.end(), [&](const auto& x) { return p && x.channel == p->channel; });
    if (c == all_.end()) return hello_again(to);
    bytes whole;
    {
        compact_output_archive out(whole);
        const auto state = c->made->state();
        out.write(version(random_() % 2));
        out.varint(state.size());
        whole.insert(whole.end(), state.begin(), state.end());
    }
    if (random_() % 2) flip(whole, 1);
    const auto total = random_() % 8 ? whole.size() : whole.size() + sequence();
    const auto part = [&](std::size_t first, std::size_t last) {
        const auto bytes = std::span(whole).subspan(first, last - first);
        if (first < last) say(to, chunk{p->channel, p->request, digest(whole), first, total, bytes});
    };
    const auto cut = random_() % whole.size();
    part(cut, whole.size());
    part(0, cut);
}

void hostile_peer::members(std::size_t to) {
    membership m{any().channel, {}, {}};
    for (unsigned i = 0; i < 1000; ++i) m.joined.push_back(made_up());
    for (unsigned i = 0; i < 4; ++i) m.gone.push_back(somebody());
    for (auto* ids : {&m.joined, &m.gone}) {
        std::sort(ids->begin(), ids->end());
        ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
    }
    say(to, m);
}

void hostile_peer::acknowledge(std::size_t to) {
    acknowledgements m{any().channel, {}};
    for (std::size_t i = 0; i < 6; ++i) m.entries.push_back({somebody(), random_(), version(5)});
    say(to, m);
}

void hostile_peer::presences(std::size_t to) {
    const auto part = noise(1000);
    for (unsigned i = 0; i < 200; ++i)
        say(to, presence{any().channel, anybody(), random_() | 1, sequence(), 3'600'000, part});
}

void hostile_peer::requests(std::size_t to) {
    const auto part = noise(2000);
    const auto c = any().channel;
    for (unsigned i = 0; i < 50; ++i) {
        say(to, request{c, random_() % 2 ? set_.id : anybody(), random_() % 2 ? somebody() : made_up(), random_() | 1,
                        ++number_, "service", part});
        say(to, reply{c, somebody(), nodes_[to].nonce, random_() % 10 + 1, part});
    }
}

void hostile_peer::pulls(std::size_t to) {
    say(to, pull{any().channel, random_(), random_() % 2 ? version(3) : version_vector(), 0, max_sequence, false, {}});
}

void hostile_peer::questions(std::size_t to) {
    const auto c = any().channel;
    causal_context dots;
    for (unsigned i = 0; i < 5; ++i) {
        const auto first = sequence();
        dots.add(dot_range{anybody(), first, std::min(first + random_() % 100, max_sequence)});
    }
    pull p{c, random_() % 5, version(5), random_() % 2 ? sequence() : 0, max_sequence, random_() % 2 == 0, {}};
    if (p.repair) p.dots = dots;
    const auto width = std::uint64_t{1} << random_() % 16 * 4;
    const auto here = digest(encode(nodes_[to].versions[c]));
    say(to, p, comparison{c, random_(), random_() % 2 ? here : random_(), width, dots},
        digests{c, random_() % 5, {1, 2, 3}}, credit{c, random_() % 5, sequence(), max_sequence},
        relaying{c, anybody(), static_cast<relay_wish>(random_() % 3 + 1)});
}

void hostile_peer::refusals(std::size_t to) {
    for (std::uint8_t why = 2; why <= 8; ++why)
        say(to, refuse{static_cast<refusal>(why), random_() % 2 ? somebody().value() : random_(), random_() % 5,
                       random_()});
}

void hostile_peer::oversize(std::size_t to) {
    if (random_() % 4 > 0) return raw(to, noise((std::size_t{1} << 20) + random_() % (1 << 20)));
    say(to, receipt{any().channel, version_of_made_up(1'000'000)}); // more than 11 MB
}
