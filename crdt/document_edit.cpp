// SPDX-License-Identifier: Apache-2.0
// Paths, and what is written and read at them.
#include "document_node.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace joinery {

using detail::document_list;
using detail::document_node;

// ---- values ----

document_scalar::document_scalar() = default;
document_scalar::document_scalar(const document_scalar& other) = default;
document_scalar::document_scalar(document_scalar&& other) noexcept = default;
document_scalar& document_scalar::operator=(const document_scalar& other) = default;
document_scalar& document_scalar::operator=(document_scalar&& other) noexcept = default;
document_scalar::~document_scalar() = default;

document_scalar::document_scalar(double x) : value_(x) {
    if (!std::isfinite(x)) throw std::invalid_argument("document: JSON has no number that is infinite or none");
}

bool document_scalar::valid() const {
    if (const auto* u = get_if<std::uint64_t>()) return *u > static_cast<std::uint64_t>(INT64_MAX);
    if (const auto* x = get_if<double>()) return std::isfinite(*x);
    if (const auto* s = get_if<std::string>()) return detail::measure_utf8(*s).has_value();
    return true;
}

bool operator==(const document_scalar& a, const document_scalar& b) {
    const auto *x = a.get_if<double>(), *y = b.get_if<double>();
    return x && y ? std::bit_cast<std::uint64_t>(*x) == std::bit_cast<std::uint64_t>(*y) : a.value_ == b.value_;
}

std::string_view to_string(document::kind k) {
    switch (k) {
    case document::kind::map: return "map";
    case document::kind::list: return "list";
    case document::kind::text: return "text";
    case document::kind::counter: return "counter";
    case document::kind::value: return "value";
    }
    return "unknown";
}

// ---- paths ----

document_path::document_path(std::string_view pointer) {
    if (pointer.empty()) return;
    if (pointer[0] != '/') throw std::invalid_argument("document: a JSON pointer is empty or begins with '/'");
    std::string token;
    for (std::size_t i = 1; i <= pointer.size(); ++i) {
        if (i == pointer.size() || pointer[i] == '/') {
            steps_.emplace_back(document_step::token{std::exchange(token, {})});
            continue;
        }
        char c = pointer[i];
        if (c == '~') {
            const char escaped = ++i < pointer.size() ? pointer[i] : '\0';
            if (escaped != '0' && escaped != '1')
                throw std::invalid_argument("document: in a JSON pointer '~' is followed by 0 or 1");
            c = escaped == '0' ? '~' : '/';
        }
        token += c;
    }
}

document_path::document_path(const std::vector<shown_value>& told, std::size_t first) {
    for (std::size_t i = first; i < told.size(); ++i) {
        if (const auto* key = told[i].as<std::string>())
            steps_.emplace_back(*key);
        else if (const auto* name = told[i].as<unique_id>())
            steps_.emplace_back(*name);
        else
            throw std::invalid_argument("document: " + told[i].str() + " is no key, nor the name of an element");
    }
}

std::string to_string(const document_path& p) {
    std::string out;
    const auto add = [&](std::string_view text) {
        for (char c : text) out += c == '~' ? std::string("~0") : c == '/' ? std::string("~1") : std::string(1, c);
    };
    for (const auto& step : p.steps()) {
        out += '/';
        if (const auto* key = std::get_if<std::string>(&step.get())) add(*key);
        if (const auto* position = std::get_if<std::size_t>(&step.get())) out += std::to_string(*position);
        if (const auto* element = std::get_if<unique_id>(&step.get())) out += to_string(*element);
        if (const auto* token = std::get_if<document_step::token>(&step.get())) add(token->text);
    }
    return out;
}

namespace {

using kind = document::kind;

// What a step leads to: nothing, a key of a map, or an element of a list and where it stands, as far as that is known.
struct element {
    unique_id name;
    std::optional<std::size_t> position;
};
using target = std::variant<std::monostate, std::string, element>;

const document_list& elements_of(const document_node& n) {
    static const document_list none;
    const auto* list = n.list.get();
    return list ? *list : none;
}

std::optional<std::size_t> as_position(std::string_view token) {
    std::size_t n = 0;
    if (token.empty() || (token[0] == '0' && token.size() > 1)) return std::nullopt;
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), n);
    return error == std::errc() && end == token.data() + token.size() ? std::optional(n) : std::nullopt;
}

target at_position(const document_node& n, std::size_t position) {
    const auto name = elements_of(n).at(position);
    return name ? target(element{*name, position}) : target();
}

// From a node, which may be null: nothing is there.
target resolve(const document_node* n, const document_step& step) {
    if (const auto* key = std::get_if<std::string>(&step.get())) return *key;
    if (const auto* token = std::get_if<document_step::token>(&step.get())) {
        if (!n || !n->has(kind::list)) return token->text;
        if (const auto position = as_position(token->text)) return at_position(*n, *position);
        return n->has(kind::map) ? target(token->text) : target();
    }
    if (!n) return {};
    if (const auto* position = std::get_if<std::size_t>(&step.get())) return at_position(*n, *position);
    const auto& name = std::get<unique_id>(step.get());
    return elements_of(*n).contains(name) ? target(element{name, std::nullopt}) : target();
}

const document_node* follow(const document_node* n, const target& to) {
    if (!n || to.index() == 0) return nullptr;
    if (const auto* key = std::get_if<std::string>(&to)) return n->child(*key);
    return n->child(std::get<element>(to).name);
}

const document_node* find_below(const document_node* n, std::span<const document_step> steps) {
    for (const auto& step : steps) {
        if (!n) return nullptr;
        n = follow(n, resolve(n, step));
    }
    return n;
}

bool nothing_at(const document_node* n) { return !n || n->kinds().empty(); }

void need_utf8(std::string_view text) {
    if (!detail::measure_utf8(text)) throw std::invalid_argument("document: not valid UTF-8");
}

[[noreturn]] void is_not(const document_path& at, kind k) {
    throw std::invalid_argument("document: what is at \"" + to_string(at) + "\" is no " + std::string(to_string(k)));
}

void need_value(const document_scalar& v) {
    if (const auto* s = v.get_if<std::string>()) need_utf8(*s);
}
void need_container(kind k) {
    if (k == kind::value) throw std::invalid_argument("document: a value is set and not made");
}

using change = std::function<void(document_node&)>;

void descend(transaction& tx, document_node& n, std::span<const document_step> steps, const change& f) {
    if (steps.empty()) return f(n);
    const auto to = resolve(&n, steps.front());
    if (const auto* key = std::get_if<std::string>(&to)) {
        if (!n.has(kind::map)) put_mark(n, tx, kind::map);
        const auto map = n.map.open(tx);
        const auto child = map->at(tx, *key);
        return descend(tx, *child, steps.subspan(1), f);
    }
    const auto list = n.list.open(tx);
    const auto child = list->open(tx, std::get<element>(to).name);
    descend(tx, *child, steps.subspan(1), f);
}

const rga_text& characters_of(const document_node* n) {
    static const rga_text none;
    const auto* text = n ? n->text.get() : nullptr;
    return text ? *text : none;
}

} // namespace

const document_node* document::find(const path& at) const { return find_below(root_.get(), at.steps()); }

// ---- writing ----

// What is at the end of a path that can be written to.
const document_node* document::writable(const path& at, std::size_t further) const {
    if (at.steps().size() + further > max_depth) throw std::length_error("document: a path has too many steps");
    const auto* n = root_.get();
    path here;
    for (const auto& step : at.steps()) {
        const auto to = resolve(n, step);
        const bool key = std::holds_alternative<std::string>(to);
        const auto what = key ? kind::map : kind::list;
        if (!nothing_at(n) && !n->has(what)) is_not(here, what);
        if (key) need_utf8(std::get<std::string>(to));
        here = std::move(here) / step;
        if (to.index() == 0) {
            const auto* token = std::get_if<document_step::token>(&step.get());
            const bool end = token && token->text == "-";
            throw std::out_of_range("document: there is no element \"" + to_string(here) +
                                    (end ? "\": push_back appends to a list" : "\""));
        }
        n = follow(n, to);
    }
    return n;
}

// The same, if nothing or this is there.
const document_node* document::writable(const path& at, kind what, std::size_t further) const {
    const auto* n = writable(at, further);
    if (!nothing_at(n) && !n->has(what)) is_not(at, what);
    return n;
}

void document::write(transaction& tx, const path& at, const change& f) {
    const auto root = root_.open(tx);
    descend(tx, *root, at.steps(), f);
}

void document::set(transaction& tx, const path& at, scalar value) {
    need_value(value);
    writable(at);
    write(tx, at, [&](document_node& n) {
        kills seen;
        clear_except(n, tx, kind::value, seen);
        n.value.set(tx, std::move(value));
        if (!seen.empty()) tx.record(tx.next(), std::move(seen));
    });
}

void document::make(transaction& tx, const path& at, kind what) {
    need_container(what);
    writable(at);
    write(tx, at, [&](document_node& n) {
        kills seen;
        clear_except(n, tx, what, seen);
        put_mark(n, tx, what, std::move(seen));
    });
}

unique_id document::insert_element(transaction& tx, const path& list, std::size_t pos, const change& fill) {
    const auto* n = writable(list, kind::list, 1);
    if (pos > 0 && (!n || pos > elements_of(*n).size()))
        throw std::out_of_range("document: position beyond the end of a list");
    unique_id made;
    write(tx, list, [&](document_node& to) {
        if (!to.has(kind::list)) put_mark(to, tx, kind::list);
        const auto elements = to.list.open(tx);
        made = elements->insert(tx, pos, 1).front();
        fill(*elements->open(tx, made));
    });
    return made;
}
unique_id document::insert(transaction& tx, const path& list, std::size_t pos, scalar value) {
    need_value(value);
    return insert_element(tx, list, pos, [&](document_node& n) { n.value.set(tx, std::move(value)); });
}
unique_id document::insert(transaction& tx, const path& list, std::size_t pos, kind what) {
    need_container(what);
    return insert_element(tx, list, pos, [&](document_node& n) { put_mark(n, tx, what); });
}
unique_id document::push_back(transaction& tx, const path& list, scalar value) {
    return insert(tx, list, end_of(list), std::move(value));
}
unique_id document::push_back(transaction& tx, const path& list, kind what) {
    return insert(tx, list, end_of(list), what);
}

bool document::erase(transaction& tx, const path& at) {
    const std::span<const document_step> steps = at.steps();
    if (steps.empty()) {
        if (root_.empty()) return false;
        kills seen;
        root_.clear(tx, seen);
        tx.record(tx.next(), std::move(seen));
        return true;
    }
    const auto above = steps.first(steps.size() - 1);
    const auto* n = find_below(root_.get(), above);
    const auto to = resolve(n, steps.back());
    const auto* name = std::get_if<element>(&to);
    if (!name && !follow(n, to)) return false;
    const auto root = root_.open(tx);
    descend(tx, *root, above, [&](document_node& parent) {
        if (name)
            parent.list.open(tx)->erase(tx, name->name, name->position);
        else
            parent.map.open(tx)->erase(tx, std::get<std::string>(to));
    });
    return true;
}

void document::move(transaction& tx, const path& at, std::size_t to) {
    const auto* n = writable(at);
    const std::span<const document_step> steps = at.steps();
    const auto above = steps.first(steps.empty() ? 0 : steps.size() - 1);
    const auto* list = find_below(root_.get(), above);
    const auto from = steps.empty() ? target() : resolve(list, steps.back());
    const auto* moved = std::get_if<element>(&from);
    if (!n || !moved) throw std::invalid_argument("document: \"" + to_string(at) + "\" is no element of a list");
    if (to >= elements_of(*list).size()) throw std::out_of_range("document: position beyond the end of a list");
    if (moved->position == to) return;
    const auto root = root_.open(tx);
    descend(tx, *root, above,
            [&](document_node& parent) { parent.list.open(tx)->move(tx, moved->name, moved->position, to); });
}

void document::increment(transaction& tx, const path& counter, std::int64_t n) {
    if (n == INT64_MIN) throw std::overflow_error("document: a counter counts to 2^63 - 1");
    writable(counter, kind::counter);
    write(tx, counter, [&](document_node& to) {
        if (!to.has(kind::counter)) put_mark(to, tx, kind::counter);
        if (n < 0)
            to.counter.open(tx)->decrement(tx, -n);
        else
            to.counter.open(tx)->increment(tx, n);
    });
}

void document::edit_text(transaction& tx, const path& text, const std::function<void(rga_text&)>& f) {
    writable(text, kind::text);
    write(tx, text, [&](document_node& to) {
        if (!to.has(kind::text)) put_mark(to, tx, kind::text);
        f(*to.text.open(tx));
    });
}

void document::insert_text(transaction& tx, const path& text, std::size_t pos, std::string_view utf8) {
    need_utf8(utf8);
    if (pos > characters_of(writable(text, kind::text)).size())
        throw std::out_of_range("document: position beyond the end of a text");
    edit_text(tx, text, [&](rga_text& t) { t.insert(tx, pos, utf8); });
}

void document::erase_text(transaction& tx, const path& text, std::size_t pos, std::size_t n) {
    const auto size = characters_of(writable(text, kind::text)).size();
    if (pos > size || n > size - pos) throw std::out_of_range("document: range beyond the end of a text");
    if (n > 0) edit_text(tx, text, [&](rga_text& t) { t.erase(tx, pos, n); });
}

// ---- reading ----

std::vector<document::kind> document::kinds(const path& at) const {
    const auto* n = find(at);
    return n ? n->kinds() : std::vector<kind>();
}

std::optional<document::scalar> document::get(const path& at) const {
    const auto* n = find(at);
    return n ? n->value.get() : std::nullopt;
}

std::vector<document::scalar> document::siblings(const path& at) const {
    const auto* n = find(at);
    return n ? n->value.siblings() : std::vector<scalar>();
}

const rga_text* document::find_text(const path& at) const {
    const auto* n = find(at);
    return n && n->has(kind::text) ? &characters_of(n) : nullptr;
}

std::optional<std::string> document::text(const path& at) const {
    const auto* t = find_text(at);
    return t ? std::optional(t->str()) : std::nullopt;
}

std::optional<std::int64_t> document::counter(const path& at) const {
    const auto* n = find(at);
    if (!n || !n->has(kind::counter)) return std::nullopt;
    const auto* c = n->counter.get();
    return c ? c->value() : 0;
}

// Behind the last element that has a place.
std::size_t document::end_of(const path& list) const {
    const auto* n = find(list);
    return n ? elements_of(*n).placed() : 0;
}

std::size_t document::size(const path& at) const {
    const auto* n = find(at);
    if (!n) return 0;
    if (n->has(kind::list)) return elements_of(*n).size();
    const auto* map = n->map.get();
    return map ? map->size() : 0;
}

std::vector<std::string> document::keys(const path& at) const {
    std::vector<std::string> out;
    if (const auto* n = find(at))
        for (const auto& [key, child] : by_key(*n)) out.push_back(*key);
    return out;
}

std::optional<unique_id> document::name(const path& at) const {
    const std::span<const document_step> steps = at.steps();
    if (steps.empty()) return std::nullopt;
    const auto to = resolve(find_below(root_.get(), steps.first(steps.size() - 1)), steps.back());
    const auto* e = std::get_if<element>(&to);
    return e ? std::optional(e->name) : std::nullopt;
}

std::vector<unique_id> document::names(const path& list) const {
    const auto* n = find(list);
    return n ? elements_of(*n).all() : std::vector<unique_id>();
}

namespace {

void add_conflicts(const document_node& n, const document_path& here, std::vector<document_path>& out) {
    if (n.kinds().size() > 1 || n.value.siblings().size() > 1) out.push_back(here);
    for (const auto& [key, child] : by_key(n)) add_conflicts(*child, here / *key, out);
    if (const auto* list = n.list.get()) {
        const auto elements = list->all();
        for (std::size_t i = 0; i < elements.size(); ++i)
            if (const auto* child = n.child(elements[i])) add_conflicts(*child, here / i, out);
    }
}

} // namespace

std::vector<document::path> document::conflicts() const {
    std::vector<path> out;
    if (const auto* n = root_.get()) add_conflicts(*n, {}, out);
    return out;
}

} // namespace joinery
