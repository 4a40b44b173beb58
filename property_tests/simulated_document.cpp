// SPDX-License-Identifier: Apache-2.0
#include "simulated_document.hpp"
#include "planted_bugs.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace joinery::simulation {

namespace {

using kind = operation::kind;

std::string utf8(std::u32string_view text) {
    std::string out;
    for (char32_t c : text) { // all from U+0800 on, below the surrogates
        out += static_cast<char>(0xe0 | (c >> 12));
        out += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
        out += static_cast<char>(0x80 | (c & 0x3f));
    }
    return out;
}

std::u32string characters(const std::string& text) {
    std::u32string out;
    auto at = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
    for (std::size_t i = 0; i + 2 < text.size(); i += 3)
        out += ((at(i) & 0x0f) << 12) | ((at(i + 1) & 0x3f) << 6) | (at(i + 2) & 0x3f);
    return out;
}

// Text that all views have in common: a set of what there is in each field.
struct view {
    std::set<std::uint32_t> tags;
    std::map<std::uint32_t, std::int64_t> counts;
    std::vector<std::uint32_t> titles, labels;
    std::set<char32_t> text;

    std::string str() const {
        std::string out = "tags";
        for (auto t : tags) out += " " + std::to_string(t);
        out += "; counts";
        for (auto [k, n] : counts) out += " " + std::to_string(k) + "=" + std::to_string(n);
        out += "; title";
        for (auto t : titles) out += " " + std::to_string(t);
        out += "; labels";
        for (auto l : labels) out += " " + std::to_string(l);
        out += "; text";
        for (auto c : text) out += " " + std::to_string(static_cast<std::uint32_t>(c));
        return out;
    }
};

} // namespace

std::string to_string(const operation& o) {
    static constexpr const char* names[] = {"add",         "remove",     "count",        "forget", "set title",
                                            "reset title", "set labels", "reset labels", "type",   "erase"};
    std::string out = names[static_cast<std::size_t>(o.what)];
    switch (o.what) {
    case kind::count: return out + " " + std::to_string(o.key) + " by " + std::to_string(o.amount);
    case kind::reset_title:
    case kind::reset_labels: return out;
    case kind::type:
    case kind::erase: return out + " " + std::to_string(o.text.size()) + " characters";
    default: return out + " " + std::to_string(o.key);
    }
}

std::vector<operation> draw_operations(testing::random_source& random, const simulated_text* text,
                                       char32_t& next_character, bool mostly_text) {
    std::vector<operation> out;
    bool fields[5] = {};
    const std::size_t wanted = random.chance(70) ? 1 : random.between(2, 3);
    while (out.size() < wanted) {
        const std::size_t field = mostly_text && out.empty() && random.chance(70) ? 4 : random.below(text ? 5 : 4);
        if (std::exchange(fields[field], true)) continue;
        operation o;
        o.key = static_cast<std::uint32_t>(random.below(field == 1 ? 3 : 6));
        switch (field) {
        case 0: o.what = random.chance(60) ? kind::add : kind::remove; break;
        case 1:
            o.what = random.chance(75) ? kind::count : kind::forget;
            o.amount = static_cast<std::int64_t>(random.between(1, 9));
            if (random.chance(30)) o.amount = -o.amount;
            break;
        case 2: o.what = random.chance(85) ? kind::set_title : kind::reset_title; break;
        case 3: o.what = random.chance(85) ? kind::set_labels : kind::reset_labels; break;
        default:
            if (text->size() > 0 && random.chance(mostly_text ? 45 : 35)) {
                o.what = kind::erase;
                const std::size_t at = random.below(text->size());
                const std::size_t n = random.between(1, std::min<std::size_t>(text->size() - at, 3));
                o.key = static_cast<std::uint32_t>(at);
                o.text = characters(text->substr(at, n));
            } else {
                o.what = kind::type;
                o.key = static_cast<std::uint32_t>(random.below(text->size() + 1));
                for (std::size_t n = random.chance(3) ? 300 : random.between(1, 4); n > 0; --n)
                    o.text += next_character++;
            }
        }
        if (o.what == kind::set_title || o.what == kind::set_labels)
            o.key = static_cast<std::uint32_t>(random.below(1000));
        out.push_back(std::move(o));
    }
    return out;
}

namespace {

template <class D> constexpr bool has_text = requires(D d) { d.text; };

template <class D> void apply(const operation& o, D& d, transaction& tx) {
    if constexpr (has_text<D>) {
        if (o.what == kind::type) return d.text.insert(tx, o.key, utf8(o.text));
        if (o.what == kind::erase) return d.text.erase(tx, o.key, o.text.size());
    }
    switch (o.what) {
    case kind::add: d.tags.add(tx, o.key); break;
    case kind::remove: d.tags.remove(tx, o.key); break;
    case kind::count:
        d.counts.update(tx, o.key, [&](pn_counter& c) {
            if (o.amount < 0)
                c.decrement(tx, -o.amount);
            else
                c.increment(tx, o.amount);
        });
        break;
    case kind::forget: d.counts.erase(tx, o.key); break;
    case kind::set_title: d.title.set(tx, o.key); break;
    case kind::reset_title: d.title.reset(tx); break;
    case kind::set_labels: d.labels.set(tx, o.key); break;
    case kind::reset_labels: d.labels.reset(tx); break;
    default: break;
    }
}

template <class D> std::string show(const D& d) {
    view v;
    v.tags.insert(d.tags.begin(), d.tags.end());
    for (const auto& [k, counter] : d.counts) v.counts[k] = counter.value();
    v.titles = d.title.siblings();
    v.labels = d.labels.values();
    if constexpr (has_text<D>) {
        const auto text = characters(d.text.str());
        v.text.insert(text.begin(), text.end());
        if (v.text.size() != text.size()) return "a character stands twice in the text";
    }
    return v.str();
}

template <class D> class opened final : public opened_collection {
public:
    opened(wall_clock wall, planted_bug bug) : state_(std::move(wall)), tampered_(tampered_state(bug, state_)) {}

    replicated_state& state() override { return state_; }
    replicated_state& seen_by_engine() override { return tampered_ ? *tampered_ : state_; }
    const simulated_text* text() const override {
        if constexpr (has_text<D>)
            return &state_->text;
        else
            return nullptr;
    }
    std::optional<dot_range> edit(const std::vector<operation>& operations, assurance wanted) override {
        const auto dots = state_.edit(
            [&](D& d, transaction& tx) {
                for (const auto& o : operations) apply(o, d, tx);
            },
            wanted);
        if (tampered_ && dots) std::swap(tampered_->pending(), state_.pending());
        return dots;
    }
    std::string show() const override { return simulation::show(*state_); }
    bool equals(const opened_collection& other) const override {
        const auto& theirs = static_cast<const opened&>(other).state_;
        if constexpr (has_text<D>)
            if (state_->text.str() != theirs->text.str()) return false;
        return state_.get().state() == theirs.get().state();
    }
    bool damage(testing::random_source& random) override {
        if constexpr (crdt_traits<D>::leaves_tombstones)
            return lose_field(random);
        else
            return lose_dot(random);
    }

private:
    replicated<D> state_;
    std::unique_ptr<replicated_state> tampered_;

    // Of complete states, the one with the greater digest stays: so it must not be this one.
    bool lose_field(testing::random_source& random) {
        const auto before = state_.digest();
        for (std::size_t first = random.below(4), i = 0; i < 4; ++i) {
            auto less = state_.get().state().whole();
            switch ((first + i) % 4) {
            case 0: std::get<0>(less.fragment.fields) = {}; break;
            case 1: std::get<1>(less.fragment.fields) = {}; break;
            case 2: std::get<2>(less.fragment.fields) = {}; break;
            default: std::get<3>(less.fragment.fields) = {};
            }
            causal<D> would_be;
            would_be.join(less);
            if (would_be.digest() >= before) continue;
            return state_.restore(state_.id(), encode(less)).has_value();
        }
        return false;
    }
    bool lose_dot(testing::random_source& random) {
        std::vector<dot_range> live;
        state_.context().for_each([&](const dot_range& r) {
            for (auto seq = r.first; seq <= r.last; ++seq) live.push_back({r.replica, seq, seq});
        });
        const auto digests = state_.digests(live);
        for (std::size_t i = live.size(); i-- > 0;)
            if (digests[i] == 0 || digests[i] == removed_digest)
                live.erase(live.begin() + static_cast<std::ptrdiff_t>(i));
        if (live.empty()) return false;
        delta<D> nothing;
        nothing.covered.add(live[random.below(live.size())]);
        return state_.replace(encode(nothing), nothing.covered).has_value();
    }
};

thread_local const causal_context* pruned_plainly = nullptr;

} // namespace

simulated_text::plain_stability::plain_stability(const causal_context& all) { pruned_plainly = &all; }
simulated_text::plain_stability::~plain_stability() { pruned_plainly = nullptr; }

// To the rule for sequences as much seems to be stable as can be without another deletion seeming so.
void simulated_text::prune(const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink) {
    rga_text::prune(stable, settled, sink);
    if (!pruned_plainly) return;
    text_fragment rest;
    extract(*pruned_plainly, rest);
    rest.spell_out();
    auto seeming = pruned_plainly->version();
    for (const auto& d : rest.deletions)
        seeming.set(d.first.replica, std::min(seeming[d.first.replica], d.first.seq - 1));
    rga_text::prune(seeming, {}, sink);
}

std::unique_ptr<opened_collection> open_document(wall_clock wall, planted_bug bug) {
    return std::make_unique<opened<document>>(std::move(wall), bug);
}
std::unique_ptr<opened_collection> open_ledger(wall_clock wall, planted_bug bug) {
    return std::make_unique<opened<ledger>>(std::move(wall), bug);
}

std::string specified(const std::vector<const edit_record*>& seen) {
    // What can be removed, and what removes it: by field and key.
    struct part {
        const edit_record* e;
        const operation* o;
    };
    std::map<std::uint32_t, std::vector<part>> adds, removes, counts, forgets;
    std::vector<part> titles, title_ends, labels, label_ends, typed, erased;
    for (const auto* e : seen) {
        for (const auto& o : e->operations) {
            const part p{e, &o};
            switch (o.what) {
            case kind::add: adds[o.key].push_back(p); break;
            case kind::remove: removes[o.key].push_back(p); break;
            case kind::count: counts[o.key].push_back(p); break;
            case kind::forget: forgets[o.key].push_back(p); break;
            case kind::set_title: titles.push_back(p); [[fallthrough]];
            case kind::reset_title: title_ends.push_back(p); break;
            case kind::set_labels: labels.push_back(p); [[fallthrough]];
            case kind::reset_labels: label_ends.push_back(p); break;
            case kind::type: typed.push_back(p); break;
            case kind::erase: erased.push_back(p); break;
            }
        }
    }
    const auto survives = [](const part& p, const std::vector<part>& ends) {
        return std::none_of(ends.begin(), ends.end(), [&](const part& r) { return r.e != p.e && r.e->saw(*p.e); });
    };
    view v;
    for (const auto& [key, all] : adds) {
        const auto& ends = removes[key];
        if (std::any_of(all.begin(), all.end(), [&](const part& p) { return survives(p, ends); })) v.tags.insert(key);
    }
    for (const auto& [key, all] : counts)
        for (const auto& p : all)
            if (survives(p, forgets[key])) v.counts[key] += p.o->amount;
    std::erase_if(titles, [&](const part& p) { return !survives(p, title_ends); });
    std::sort(titles.begin(), titles.end(), [](const part& a, const part& b) {
        return std::tuple(a.e->written, a.e->dots) > std::tuple(b.e->written, b.e->dots);
    });
    for (const auto& p : titles) v.titles.push_back(p.o->key);
    std::erase_if(labels, [&](const part& p) { return !survives(p, label_ends); });
    std::sort(labels.begin(), labels.end(), [](const part& a, const part& b) { return a.e->dots < b.e->dots; });
    for (const auto& p : labels) v.labels.push_back(p.o->key);
    for (const auto& p : typed) v.text.insert(p.o->text.begin(), p.o->text.end());
    for (const auto& p : erased)
        for (auto c : p.o->text) v.text.erase(c);
    return v.str();
}

} // namespace joinery::simulation
