// SPDX-License-Identifier: Apache-2.0
#include "commands.hpp"
#include "observer.hpp"

#include <joinery/storage.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <set>
#include <span>

namespace joinery::tool {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::string now_utc() {
    const auto now = std::chrono::system_clock::now();
    const auto day = std::chrono::floor<std::chrono::days>(now);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss clock{std::chrono::floor<milliseconds>(now - day)};
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                       clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

// One leader, and what it was when it was last told of.
struct followed {
    followed(const std::string& endpoint, const live_options& live) : at(endpoint, live.insecure, live.identity) {}

    observer at;
    bool up = false, was_up = false;
    std::uint64_t restarts = 0;
    std::map<std::uint64_t, steady_time> behind_since; // by channel

    std::string name() const {
        const auto& s = at.seen();
        return s.said && !s.said->name.empty() ? s.said->name : s.endpoint;
    }
};

class follower {
public:
    follower(const std::vector<std::string>& endpoints, const live_options& live, const common_options& o)
        : live_(live), options_(o) {
        for (const auto& e : endpoints) leaders_.emplace_back(e, live);
    }

    // Sees to what comes for that long; at most until all have answered, for the first time.
    void wait(milliseconds time, bool first) {
        const auto end = steady_clock::now() + time;
        for (auto& l : leaders_) l.at.ask();
        for (;;) {
            bool all = true;
            for (auto& l : leaders_) {
                const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
                l.at.run(std::clamp(left, milliseconds(0), milliseconds(20)));
                all = all && l.at.seen().said;
            }
            if (steady_clock::now() >= end || (first && all)) return;
        }
    }

    void tell() {
        const auto now = steady_clock::now();
        for (auto& l : leaders_) {
            const auto& s = l.at.seen();
            l.up =
                s.connected && s.said && s.heard && now - *s.heard < std::max(milliseconds(5000), 3 * live_.interval);
        }
        std::vector<std::string> events;
        for (auto& l : leaders_) look(l, events);
        divergences(events);
        options_.json ? tell_json(events) : tell_people(events);
        for (auto& l : leaders_) l.was_up = l.up;
    }

    // Names that the leaders which have answered do not know.
    void warn() const {
        for (const auto& name : live_.collections)
            if (any_reached() && std::none_of(leaders_.begin(), leaders_.end(), [&](const auto& l) {
                    return l.at.seen().said &&
                           std::any_of(l.at.seen().said->collections.begin(), l.at.seen().said->collections.end(),
                                       [&](const auto& c) { return c.name == name_digest(name); });
                }))
                complain(fmt::format("no leader has a collection '{}' yet", name));
    }

    bool any_reached() const {
        return std::any_of(leaders_.begin(), leaders_.end(),
                           [](const auto& l) { return l.at.seen().said.has_value(); });
    }

private:
    live_options live_;
    common_options options_;
    std::deque<followed> leaders_;
    std::set<std::pair<std::uint64_t, std::string>> diverged_; // channel and names, told once

    void look(followed& l, std::vector<std::string>& events) const {
        const auto& s = l.at.seen();
        if (l.up != l.was_up) events.push_back(l.name() + (l.up ? " is up" : " is down"));
        if (s.restarts != std::exchange(l.restarts, s.restarts)) events.push_back(l.name() + " was restarted");
        for (const auto& [channel, view] : s.views) {
            if (view.version.empty() && missing(channel, view.version) == 0) continue;
            if (missing(channel, view.version) == 0)
                l.behind_since.erase(channel);
            else
                l.behind_since.emplace(channel, steady_clock::now());
        }
    }

    // Edits that another of these leaders has told of.
    std::uint64_t missing(std::uint64_t channel, const version_vector& version) const {
        version_vector all = version;
        for (const auto& l : leaders_)
            if (const auto v = l.at.seen().views.find(channel); v != l.at.seen().views.end())
                all.join(v->second.version);
        return count_of(all) - count_of(version);
    }

    // Two that told digests of one version, which are not equal.
    void divergences(std::vector<std::string>& events) {
        for (std::size_t i = 0; i < leaders_.size(); ++i)
            for (std::size_t j = i + 1; j < leaders_.size(); ++j)
                for (const auto& [channel, v] : leaders_[i].at.seen().views) {
                    const auto& there = leaders_[j].at.seen().views;
                    const auto w = there.find(channel);
                    if (w == there.end() || !v.digest || !w->second.digest || v.digest_at != w->second.digest_at)
                        continue;
                    const auto pair = std::pair(channel, leaders_[i].name() + " and " + leaders_[j].name());
                    if (v.digest == w->second.digest)
                        diverged_.erase(pair);
                    else if (diverged_.insert(pair).second)
                        events.push_back(pair.second + " have the same edits and differ");
                }
    }

    std::string name_of(std::uint64_t digest) const {
        for (const auto& name : live_.collections)
            if (name_digest(name) == digest) return name;
        return "#" + hex_number(digest);
    }
    bool wanted(std::uint64_t digest) const { return live_.collections.empty() || !name_of(digest).starts_with('#'); }

    struct line {
        std::string name, type;
        const hello::collection* said;
        observed_leader::view view;
        std::uint64_t behind;
        milliseconds behind_for;
    };
    std::vector<line> collections_of(const followed& l) const {
        std::vector<line> all;
        const auto& s = l.at.seen();
        if (!s.said) return all;
        for (const auto& c : s.said->collections) {
            if (!wanted(c.name)) continue;
            const auto channel = channel_of(c.name, c.fingerprint).value;
            const auto v = s.views.find(channel);
            line x{name_of(c.name),
                   options_.types->name(name_of(c.name), c.fingerprint),
                   &c,
                   v == s.views.end() ? observed_leader::view() : v->second,
                   0,
                   milliseconds(0)};
            x.behind = missing(channel, x.view.version);
            if (const auto since = l.behind_since.find(channel); since != l.behind_since.end() && x.behind > 0)
                x.behind_for = std::chrono::duration_cast<milliseconds>(steady_clock::now() - since->second);
            all.push_back(std::move(x));
        }
        return all;
    }

    static std::string_view durability_of(const hello& h) {
        return to_string(static_cast<durability>(std::min<std::uint8_t>(h.durability, 2)));
    }

    void tell_json(const std::vector<std::string>& events) const {
        auto all = json_value::object();
        all.add("time", now_utc());
        auto& list = all.add("leaders", json_value::array());
        for (const auto& l : leaders_) {
            const auto& s = l.at.seen();
            auto one = json_value::object();
            one.add("endpoint", s.endpoint);
            one.add("up", l.up);
            const auto add = [&](const char* name, auto&& value_of) {
                one.add(name, s.said ? json_value(value_of(*s.said)) : json_value());
            };
            add("id", [](const hello& h) { return to_string(h.replica); });
            add("name", [](const hello& h) { return h.name; });
            add("role", [](const hello& h) { return to_string(h.role); });
            add("zone", [](const hello& h) { return h.zone; });
            add("durability", durability_of);
            one.add("restarts", s.restarts);
            one.add("received_frames", s.frames);
            one.add("received_bytes", s.bytes);
            one.add("received_updates", s.updates);
            one.add("rejected_frames", s.refused);
            auto& collections = one.add("collections", json_value::array());
            for (const auto& c : collections_of(l)) {
                auto x = json_value::object();
                x.add("name", c.name);
                x.add("fingerprint", hex_number(c.said->fingerprint));
                x.add("type", c.type.empty() ? json_value() : json_value(c.type));
                x.add("member", c.said->member);
                x.add("edits", count_of(c.view.version));
                x.add("version", to_json(c.view.version));
                x.add("behind", c.behind);
                x.add("behind_seconds", static_cast<double>(c.behind_for.count()) / 1000);
                x.add("digest", c.view.digest ? json_value(hex_number(*c.view.digest)) : json_value());
                collections.push(std::move(x));
            }
            list.push(std::move(one));
        }
        auto& told = all.add("events", json_value::array());
        for (const auto& e : events) told.push(e);
        print(all.str() + '\n');
    }

    // A column that says nothing but what goes without saying.
    static void leave_out(std::vector<std::vector<std::string>>& rows, std::size_t column, std::string_view usual) {
        for (const auto& row : std::span(rows).subspan(1))
            if (!row[column].empty() && row[column] != usual) return;
        for (auto& row : rows) row.erase(row.begin() + static_cast<std::ptrdiff_t>(column));
    }

    void tell_people(const std::vector<std::string>& events) const {
        std::string out;
        for (const auto& e : events) out += "* " + printable(e) + '\n';
        out += now_utc() + '\n';
        std::vector<std::vector<std::string>> rows{
            {"leader", "state", "role", "zone", "durability", "collection", "edits", "behind"}};
        for (const auto& l : leaders_) {
            const auto& s = l.at.seen();
            std::vector<std::string> who{printable(l.name()), l.up ? "up" : "down"};
            for (const auto& text : {s.said ? std::string(to_string(s.said->role)) : "", s.said ? s.said->zone : "",
                                     s.said ? std::string(durability_of(*s.said)) : ""})
                who.push_back(printable(text));
            const auto collections = collections_of(l);
            if (collections.empty()) rows.push_back(who);
            for (const auto& c : collections) {
                auto row = who;
                row.insert(row.end(), {shown_name(c.name), std::to_string(count_of(c.view.version)),
                                       c.behind == 0 ? "0"
                                                     : fmt::format("{}, for {:.1f} s", c.behind,
                                                                   static_cast<double>(c.behind_for.count()) / 1000)});
                rows.push_back(std::move(row));
                who.assign(who.size(), "");
            }
        }
        leave_out(rows, 3, "");
        leave_out(rows, 2, "leader");
        print(out + table(rows) + '\n');
    }
};

} // namespace

int follow(const std::vector<std::string>& endpoints, const live_options& live, const common_options& o) {
    follower f(endpoints, live, o);
    f.wait(std::max(live.interval, milliseconds(5000)), true);
    for (std::uint64_t i = 1;; ++i) {
        f.tell();
        if (i == 1) f.warn();
        if (i == live.count && !f.any_reached()) throw tool_error("follow: none of them has answered");
        if (i == live.count) return good;
        f.wait(live.interval, false);
    }
}

} // namespace joinery::tool
