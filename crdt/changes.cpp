// SPDX-License-Identifier: Apache-2.0
#include <joinery/changes.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace joinery {

std::string_view to_string(conflict_choice c) {
    switch (c) {
    case conflict_choice::none: return "no conflict";
    case conflict_choice::last_write: return "the last write won";
    case conflict_choice::all_kept: return "all were kept";
    case conflict_choice::merged: return "they were merged";
    case conflict_choice::removal_wins: return "the removal won";
    case conflict_choice::unseen_survives: return "what a removal had not seen survived";
    }
    return "unknown";
}

namespace detail {

void show(std::string& out, std::string_view text) {
    out += '"';
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        if (static_cast<unsigned char>(c) < 0x20)
            out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        else
            out += c;
    }
    out += '"';
}

void show(std::string& out, double number) { out += fmt::format("{}", number); }

} // namespace detail

std::string shown_value::str() const {
    std::string out;
    if (kind_)
        kind_->show(out, value_);
    else
        out = "nothing";
    return out;
}

std::string to_string(const std::vector<shown_value>& path) {
    std::string out;
    for (const auto& step : path) {
        if (!out.empty()) out += '/';
        out += step.str();
    }
    return out;
}

std::string to_string(const value_change& c) {
    std::string out = to_string(c.path);
    if (!out.empty()) out += ": ";
    out += c.before.str() + " -> " + c.after.str();
    if (c.how == conflict_choice::none) return out;
    out += ", ";
    out += to_string(c.how);
    if (c.overruled.empty()) return out;
    out += " over ";
    for (std::size_t i = 0; i < c.overruled.size(); ++i) out += (i > 0 ? ", " : "") + c.overruled[i].str();
    return out;
}

noted_changes change_list::take() {
    std::erase_if(noted_.values,
                  [](const value_change& c) { return c.before == c.after && c.how == conflict_choice::none; });
    places_.clear();
    sequences_.clear();
    return std::exchange(noted_, {});
}

value_change* change_list::add(const path_step* path) {
    if (noted_.values.size() == most_) {
        note_everything();
        return nullptr;
    }
    auto& c = noted_.values.emplace_back();
    for (const auto* step = path; step; step = step->outer)
        if (step->shown) c.path.push_back(step->show(step->what));
    std::reverse(c.path.begin(), c.path.end());
    return &c;
}

value_change* change_list::add_sequence(const path_step* path) {
    auto* c = add(path);
    if (c) sequences_.push_back(noted_.values.size() - 1);
    return c;
}

namespace {
std::string key_of(const path_step* path) {
    const auto bytes = encoded(path);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
} // namespace

void change_list::note(const path_step* path, shown_value before, shown_value after, conflict_choice how,
                       std::vector<shown_value> overruled) {
    if (noted_.everything) return;
    const std::string key = key_of(path);
    const auto known = places_.find(key);
    const bool is_new = known == places_.end();
    if (is_new && how == conflict_choice::none && before == after) return;
    value_change* c = is_new ? add(path) : &noted_.values[known->second];
    if (!c) return;
    if (is_new) places_.emplace(key, noted_.values.size() - 1);
    if (is_new) c->before = std::move(before);
    c->after = std::move(after);
    c->how = how;
    c->overruled = std::move(overruled);
}

void change_list::note_in_front(const path_step* path) {
    if (noted_.everything) return;
    const std::string key = key_of(path);
    if (!places_.contains(key) && add(path)) places_.emplace(key, noted_.values.size() - 1);
}

void change_list::note_steps(const path_step* path, shown_value steps) {
    if (noted_.everything) return;
    if (auto* c = add_sequence(path)) c->after = std::move(steps);
}

// The changes before it are left empty, and so left out.
void change_list::note_whole(const path_step* path, shown_value value) {
    if (noted_.everything) return;
    auto* c = add_sequence(path);
    if (!c) return;
    for (const std::size_t i : sequences_)
        if (noted_.values[i].path == c->path) noted_.values[i].after = {};
    c->after = std::move(value);
}

void change_list::note_everything() {
    noted_ = {{}, true};
    places_.clear();
    sequences_.clear();
}

} // namespace joinery
