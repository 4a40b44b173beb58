// SPDX-License-Identifier: Apache-2.0
// Many schedules: drawn from seeds, run until one fails, and that one shrunk.
#include "simulated_cluster.hpp"

#include <algorithm>
#include <cstdio>

namespace joinery::testing {

namespace detail {

namespace {

struct weighted {
    happening what;
    unsigned weight;
};

std::vector<weighted> weights(const faults& f) {
    return {{happening::loss, f.loss},
            {happening::duplication, f.duplication},
            {happening::reordering, f.reordering},
            {happening::corruption, f.corruption},
            {happening::delay, f.delay},
            {happening::partition, f.partition},
            {happening::one_way_partition, f.one_way_partition},
            {happening::link_cut, f.link_cut},
            {happening::crash, f.crash},
            {happening::crash_in_step, f.crash_in_step},
            {happening::storage_failure, f.storage_failure},
            {happening::clean_stop, f.clean_stop},
            {happening::freeze, f.freeze},
            {happening::clock_jump, f.clock_jump},
            {happening::storage_loss, f.storage_loss}};
}

schedule random_schedule(std::uint64_t seed, const faults& f, const simulation_options& o) {
    random_source random(seed ^ 0x51a1'57ab'1e5e'ed00u);
    schedule s;
    s.seed = seed;
    s.leaders = random.between(o.least_leaders, o.most_leaders);
    s.skewed = f.clock_skew;
    s.options = &o;
    const auto length = static_cast<std::size_t>(o.length.count());
    const auto put = [&](happening what, std::size_t at) {
        s.all.push_back({time(at), what, random.below(60), random.next()});
    };
    constexpr std::size_t begin = 100;                                          // so that all have met, mostly
    for (std::size_t n = random.between(o.least_steps, o.most_steps); n > 0;) { // in bursts, or one at a time
        std::size_t burst = random.chance(30) ? std::min<std::size_t>(n, random.between(2, 6)) : 1;
        std::size_t at = begin + random.below(length);
        for (n -= burst; burst > 0; --burst) put(happening::step, at += random.below(10));
    }
    const auto all = weights(f);
    std::size_t sum = 0;
    for (const auto& w : all) sum += w.weight;
    for (std::size_t n = sum > 0 ? random.between(f.least, f.most) : 0; n > 0; --n) {
        std::size_t drawn = random.below(sum), i = 0;
        while (drawn >= all[i].weight) drawn -= all[i++].weight;
        put(all[i].what, begin + random.below(length));
    }
    std::stable_sort(s.all.begin(), s.all.end(), [](const planned& a, const planned& b) { return a.at < b.at; });
    return s;
}

// The same law broken by as few leaders, steps and faults as possible.
schedule shrunk(schedule s, simulated_application& app, const std::string& law, std::size_t most_runs = 400) {
    const auto fails = [&](const schedule& smaller) {
        cluster c(smaller, app, false);
        c.run();
        return c.found && c.found->first == law;
    };
    while (s.leaders > 2) {
        schedule smaller = s;
        --smaller.leaders;
        if (!fails(smaller)) break;
        s = std::move(smaller);
    }
    for (bool again = true; again && most_runs > 0;) {
        again = false;
        for (std::size_t count = std::max<std::size_t>(s.all.size() / 2, 1); count > 0; count /= 2) {
            for (std::size_t end = s.all.size(); end >= count && most_runs > 0; --most_runs) {
                schedule smaller = s;
                const auto last = smaller.all.begin() + static_cast<std::ptrdiff_t>(end);
                smaller.all.erase(last - static_cast<std::ptrdiff_t>(count), last);
                if (fails(smaller)) {
                    s = std::move(smaller);
                    again = true;
                    end = std::min(end, s.all.size());
                } else {
                    --end;
                }
            }
        }
    }
    return s;
}

} // namespace

simulation_report simulate(simulated_application& app, const faults& f, const simulation_options& o) {
    if (o.least_leaders < 2 || o.most_leaders > 26 || o.least_leaders > o.most_leaders ||
        o.least_steps > o.most_steps || f.least > f.most || o.length < time(1))
        throw std::invalid_argument("simulate: 2 to 26 leaders, and no range that ends before it begins");
    simulation_report out;
    out.seed = seed_for_this_run(o.seed);
    for (const auto& w : weights(f)) {
        if (w.weight == 0) continue;
        if (f.most == 0)
            throw std::invalid_argument("simulate: " + std::string(name(w.what)) +
                                        " is asked for, but faults::most is 0");
        out.asked_for.emplace_back(name(w.what));
    }
    if (f.clock_skew) out.asked_for.emplace_back("clock off by hours");
    const auto schedules = o.schedules ? o.schedules : environment_number("JOINERY_SCHEDULES", o.usual_schedules);
    while (out.schedules < schedules && !out.failure) {
        const auto seed = out.seed + out.schedules; // so the first schedule of a replay is the one that failed
        const auto plan = random_schedule(seed, f, o);
        cluster c(plan, app, false);
        c.run();
        ++out.schedules;
        for (const auto& [what, n] : c.counts) {
            auto& all = out.counts[what];
            all.total += n;
            ++all.schedules;
        }
        out.slowest = std::max(out.slowest, c.converged_after);
        if (!c.found) continue;
        const auto smallest = shrunk(plan, app, c.found->first);
        cluster again(smallest, app, true);
        again.run();
        // An application that draws on something else than its choices may not do it again.
        auto [law, what] = again.found.value_or(
            std::pair(c.found->first,
                      c.found->second + " (and not when it was repeated: something is not drawn from the choices)"));
        out.failure = {std::move(law), std::move(what),     seed,
                       out.schedules,  smallest.all.size(), std::move(again.story)};
    }
    return out;
}

} // namespace detail

std::uint64_t simulation_report::total(std::string_view what) const {
    const auto at = counts.find(what);
    return at == counts.end() ? 0 : at->second.total;
}

std::vector<std::string> simulation_report::thin(std::uint64_t least_per_mille) const {
    std::vector<std::string> wanted = asked_for, out;
    for (const char* what : {"steps", "writes"}) wanted.emplace_back(what);
    for (auto& what : wanted) {
        const auto at = counts.find(what);
        if (at == counts.end() || at->second.schedules * 1000 < least_per_mille * schedules)
            out.push_back(std::move(what));
    }
    return out;
}

std::string to_string(const simulation_failure& f, std::size_t lines) {
    std::string out = "  law: " + f.law + "\n  but: " + f.what + "\n  the smallest schedule found has " +
                      std::to_string(f.steps) + " steps and faults:\n";
    const std::size_t first = f.story.size() > lines ? f.story.size() - lines : 0;
    if (first > 0) out += "    (" + std::to_string(first) + " lines before)\n";
    for (std::size_t i = first; i < f.story.size(); ++i) out += "    " + f.story[i] + "\n";
    return out + "  found after " + std::to_string(f.after) +
           " schedules; replay with JOINERY_SEED=" + std::to_string(f.seed) + " JOINERY_SCHEDULES=1\n";
}

std::string to_string(const simulation_report& r) {
    std::string out;
    for (const auto& [what, n] : r.counts) {
        char line[120];
        std::snprintf(line, sizeof line, "  %10llu  %-46s in %5.1f %% of schedules\n",
                      static_cast<unsigned long long>(n.total), what.c_str(),
                      static_cast<double>(n.schedules) * 100 / static_cast<double>(r.schedules));
        out += line;
    }
    for (const auto& what : r.thin()) out += "  hardly ever happened: " + what + "\n";
    out +=
        std::to_string(r.schedules) + " schedules, slowest convergence " + std::to_string(r.slowest.count()) + " ms, ";
    if (r.failure) return out + "one FAILED\n" + to_string(*r.failure);
    return out + "no failure (JOINERY_SEED=" + std::to_string(r.seed) + ")\n";
}

} // namespace joinery::testing
