// SPDX-License-Identifier: Apache-2.0
// What stands at a path.
#include "document_node.hpp"

#include <algorithm>
#include <utility>

namespace joinery {

namespace detail {

bool document_node::has(document::kind k) const {
    const bool marked = std::any_of(marks.begin(), marks.end(), [&](const auto& m) { return m.value.what == k; });
    switch (k) {
    case document::kind::map: return marked || !map.empty();
    case document::kind::list: return marked || !list.empty();
    case document::kind::text: return marked || !text.empty();
    case document::kind::counter: return marked || !counter.empty();
    case document::kind::value: return !value.empty();
    }
    return false;
}

std::vector<document::kind> document_node::kinds() const {
    std::vector<document::kind> out;
    for (const auto k : {document::kind::map, document::kind::list, document::kind::text, document::kind::counter,
                         document::kind::value})
        if (has(k)) out.push_back(k);
    return out;
}

observation<shown_value> document_node::observed() const {
    observation<shown_value> out;
    const auto see = [&](auto what) {
        if (out.value)
            out.overruled.emplace_back(std::move(what));
        else
            out.value = shown_value(std::move(what));
    };
    const auto there = kinds();
    const auto siblings = value.siblings();
    for (const auto k : there) {
        if (k == document::kind::value)
            for (const auto& v : siblings) see(v);
        else if (k == document::kind::counter)
            see(counter.get() ? counter.get()->value() : std::int64_t{0});
        else
            see(k);
    }
    if (there.size() > 1) out.how = conflict_choice::all_kept;
    if (there.size() == 1 && siblings.size() > 1) out.how = conflict_choice::last_write;
    return out;
}

const document_node* document_node::child(const std::string& key) const {
    const auto* m = map.get();
    return m ? m->find(key) : nullptr;
}
const document_node* document_node::child(const unique_id& element) const {
    const auto* l = list.get();
    return l ? l->find(element) : nullptr;
}

std::vector<std::pair<const std::string*, const document_node*>> by_key(const document_node& n) {
    std::vector<std::pair<const std::string*, const document_node*>> out;
    if (const auto* map = n.map.get())
        for (const auto& [key, child] : *map) out.emplace_back(&key, &child);
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return *a.first < *b.first; });
    return out;
}

void clear_except(document_node& n, transaction& tx, std::optional<document::kind> kept, kills& out) {
    n.marks.clear(tx, out);
    if (kept != document::kind::value) n.value.clear(tx, out);
    if (kept != document::kind::counter) n.counter.clear(tx, out);
    if (kept != document::kind::text) n.text.clear(tx, out);
    if (kept != document::kind::map) n.map.clear(tx, out);
    if (kept != document::kind::list) n.list.clear(tx, out);
}

void put_mark(document_node& n, transaction& tx, document::kind what, kills seen) {
    const dot d = n.marks.add(tx, {what});
    tx.record(d, std::move(seen));
}

} // namespace detail
} // namespace joinery
