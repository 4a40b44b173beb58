// SPDX-License-Identifier: Apache-2.0
// Lists of documents: an order of names, and what has them.
#include "document_node.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace joinery {

template class rga_list<unique_id>;

namespace detail {

namespace {
/// What names an element whose places have all gone, for the order.
dot named(const unique_id& element) { return {element.issuer(), std::max<std::uint64_t>(element.number(), 1)}; }
} // namespace

// True if the elements are those in the order, which nearly all lists' are.
bool document_list::regular() const {
    const auto& [order, items] = inner_;
    return order.consists_of(items.size(), items.key_sum());
}

document_list::layout document_list::lay_out() const {
    layout out;
    std::set<unique_id> astray;
    for (const auto& [element, node] : inner_.items) astray.insert(element);
    const auto order = inner_.order.values();
    for (std::size_t i = 0; i < order.size(); ++i) {
        if (astray.erase(order[i]) > 0)
            out.placed.emplace_back(order[i], i);
        else
            out.idle.push_back(i);
    }
    out.astray.assign(astray.begin(), astray.end());
    return out;
}

std::vector<unique_id> document_list::all() const {
    const auto [placed, idle, astray] = lay_out();
    std::vector<unique_id> out;
    out.reserve(size());
    for (const auto& [element, position] : placed) out.push_back(element);
    out.insert(out.end(), astray.begin(), astray.end());
    return out;
}

std::optional<unique_id> document_list::at(std::size_t position) const {
    if (position >= size()) return std::nullopt;
    if (regular()) return inner_.order.at(position);
    return all()[position];
}

std::size_t document_list::placed() const { return regular() ? size() : lay_out().placed.size(); }

std::size_t document_list::gap(std::size_t elements) const {
    if (regular()) return std::min(elements, size());
    const auto placed = lay_out().placed;
    elements = std::min(elements, placed.size());
    return elements == 0 ? 0 : placed[elements - 1].second + 1;
}

std::vector<unique_id> document_list::insert(transaction& tx, std::size_t position, std::size_t n) {
    std::vector<unique_id> made;
    made.reserve(n);
    for (std::size_t i = 0; i < n; ++i) made.push_back(tx.unique_id());
    inner_.order.insert(tx, gap(position), made);
    return made;
}

// Where in the order the element stands; it has one place there then.
std::optional<std::size_t> document_list::drop_repeated(transaction& tx, const unique_id& element) {
    auto& order = inner_.order;
    std::optional<std::size_t> first;
    for (std::size_t i = order.size(); i-- > 0;) {
        if (order.at(i) != element) continue;
        if (first) order.erase(tx, *first);
        first = i;
    }
    return first;
}

void document_list::erase(transaction& tx, const unique_id& element, std::optional<std::size_t> position) {
    if (!position || !regular()) position = drop_repeated(tx, element);
    if (position) inner_.order.erase(tx, *position);
    inner_.items.erase(tx, element);
}

bool document_list::move(transaction& tx, const unique_id& element, std::optional<std::size_t> position,
                         std::size_t to) {
    auto& order = inner_.order;
    if (regular()) {
        if (!position) position = drop_repeated(tx, element);
        if (*position == to) return false;
        order.move(tx, *position, to);
        return true;
    }
    if (const auto at = drop_repeated(tx, element)) {
        const auto placed = lay_out().placed;
        to = std::min(to, placed.size() - 1);
        const auto from = std::find(placed.begin(), placed.end(), std::pair(element, *at)) - placed.begin();
        if (static_cast<std::size_t>(from) == to) return false;
        const bool up = static_cast<std::size_t>(from) < to;
        order.move(tx, *at, up ? placed[to].second : gap(to));
    } else {
        order.put_back(tx, gap(to), named(element), element);
    }
    return true;
}

// Those of the places without an element that all have seen, and with them what erased it or repeats it: who writes
// below it once more writes an element without a place.
std::vector<std::size_t> document_list::superfluous(const version_vector& stable) const {
    if (inner_.order.empty() || regular()) return {};
    auto idle = lay_out().idle;
    const auto places = inner_.order.marks();
    std::erase_if(idle, [&](std::size_t i) { return !stable.contains(places[i].first); });
    return idle;
}

bool document_list::untidy(const version_vector& stable) const {
    return composed::untidy(stable) || !superfluous(stable).empty();
}

void document_list::tidy(transaction& tx, const version_vector& stable, kills& out) {
    composed::tidy(tx, stable, out);
    const auto gone = superfluous(stable);
    for (auto i = gone.rbegin(); i != gone.rend(); ++i) inner_.order.erase(tx, *i);
}

std::vector<document_list::mark> document_list::marks() const {
    const auto [placed, idle, astray] = lay_out();
    const auto places = inner_.order.marks();
    std::vector<mark> out;
    out.reserve(size());
    for (const auto& [element, position] : placed) out.emplace_back(places[position].first, element);
    for (const auto& element : astray) out.emplace_back(dot{}, element);
    return out;
}

std::vector<list_step<unique_id>> document_list::steps_since(const std::vector<mark>& before) const {
    const auto after = marks();
    return steps_between<unique_id>(before, after, [&](std::size_t i) { return after[i].second; });
}

} // namespace detail
} // namespace joinery
