// SPDX-License-Identifier: Apache-2.0
#include "simulated_document.hpp"

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

std::vector<operation> draw_operations(testing::random_source& random, const document& d, char32_t& next_character) {
    std::vector<operation> out;
    bool fields[5] = {};
    const std::size_t wanted = random.chance(70) ? 1 : random.between(2, 3);
    while (out.size() < wanted) {
        const std::size_t field = random.below(5);
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
            if (d.text.size() > 0 && random.chance(35)) {
                o.what = kind::erase;
                const std::size_t at = random.below(d.text.size());
                const std::size_t n = random.between(1, std::min<std::size_t>(d.text.size() - at, 3));
                o.key = static_cast<std::uint32_t>(at);
                o.text = characters(d.text.substr(at, n));
            } else {
                o.what = kind::type;
                o.key = static_cast<std::uint32_t>(random.below(d.text.size() + 1));
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

void apply(const operation& o, document& d, transaction& tx) {
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
    case kind::type: d.text.insert(tx, o.key, utf8(o.text)); break;
    case kind::erase: d.text.erase(tx, o.key, o.text.size()); break;
    }
}

std::string show(const document& d) {
    view v;
    v.tags.insert(d.tags.begin(), d.tags.end());
    for (const auto& [k, counter] : d.counts) v.counts[k] = counter.value();
    v.titles = d.title.siblings();
    v.labels = d.labels.values();
    const auto text = characters(d.text.str());
    v.text.insert(text.begin(), text.end());
    if (v.text.size() != text.size()) return "a character stands twice in the text";
    return v.str();
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
