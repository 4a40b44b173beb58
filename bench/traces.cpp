// SPDX-License-Identifier: Apache-2.0
#include "traces.hpp"

#include <rapidjson/document.h>
#include <zlib.h>

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>
#include <utility>

namespace bench {

using joinery::replica_id;

namespace {

std::optional<std::string> unzipped(const std::string& path) {
    const std::unique_ptr<gzFile_s, int (*)(gzFile_s*)> file(gzopen(path.c_str(), "rb"), gzclose);
    if (!file) return std::nullopt;
    std::string all;
    char part[1 << 16];
    int n = 0;
    while ((n = gzread(file.get(), part, sizeof part)) > 0) all.append(part, static_cast<std::size_t>(n));
    if (n < 0) throw std::runtime_error(path + " cannot be read");
    return all;
}

// A branch of the history: who writes on it, and what the text is there.
using branch = std::shared_ptr<text_replica>;

} // namespace

std::vector<patch> trace::patches() const {
    std::vector<patch> all;
    for (const auto& t : transactions) all.insert(all.end(), t.patches.begin(), t.patches.end());
    return all;
}

std::size_t size_of(std::span<const update> updates) {
    return std::accumulate(updates.begin(), updates.end(), std::size_t{0},
                           [](std::size_t sum, const update& u) { return sum + u.size(); });
}

std::u32string code_points(std::string_view utf8) {
    std::u32string out;
    for (std::size_t i = 0; i < utf8.size();) {
        const auto lead = static_cast<unsigned char>(utf8[i]);
        const std::size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        char32_t c = n == 1 ? lead : lead & (0xffu >> (n + 1));
        for (std::size_t k = 1; k < n; ++k) c = (c << 6) | (static_cast<unsigned char>(utf8[i + k]) & 0x3fu);
        out.push_back(c);
        i += n;
    }
    return out;
}

std::optional<trace> read_trace(const std::string& folder, const std::string& name) {
    const auto json = unzipped(folder + "/" + name + ".json.gz");
    if (!json) return std::nullopt;
    rapidjson::Document doc;
    doc.Parse(json->data(), json->size());
    if (doc.HasParseError()) throw std::runtime_error(name + " is not JSON");
    trace out;
    out.name = name;
    const auto string_of = [](const auto& v) { return std::string(v.GetString(), v.GetStringLength()); };
    out.end = string_of(doc["endContent"]);
    const bool graph = doc.HasMember("kind") && string_of(doc["kind"]) == "concurrent";
    for (const auto& t : doc["txns"].GetArray()) {
        auto& to = out.transactions.emplace_back();
        const auto before = static_cast<std::uint32_t>(out.transactions.size()) - 2;
        if (graph) {
            for (const auto& p : t["parents"].GetArray()) to.parents.push_back(p.GetUint());
            to.agent = t["agent"].GetUint();
            const bool follows = out.transactions.size() == 1 ? to.parents.empty() : to.parents == std::vector{before};
            out.concurrent |= !follows;
        } else if (out.transactions.size() > 1) {
            to.parents.push_back(before);
        }
        for (const auto& p : t["patches"].GetArray())
            to.patches.push_back({p[0].GetUint(), p[1].GetUint(), string_of(p[2])});
    }
    return out;
}

replayed replay(const trace& t) {
    replayed out;
    std::vector<std::size_t> children(t.transactions.size());
    for (const auto& x : t.transactions)
        for (const auto p : x.parents) ++children[p];
    std::vector<branch> after(t.transactions.size()); // while somebody goes on from there
    std::map<replica_id, std::uint64_t> last;         // its last edit
    std::uint64_t next_id = 1;
    std::map<std::uint32_t, replica_id> ids; // of agents
    for (std::size_t i = 0; i < t.transactions.size(); ++i) {
        const auto& x = t.transactions[i];
        branch here;
        for (const auto p : x.parents) {
            auto parent = --children[p] == 0 ? std::exchange(after[p], nullptr)
                                             : std::make_shared<text_replica>(replica_id{}, after[p]->state());
            if (here)
                here->join(parent->state());
            else
                here = std::move(parent);
        }
        if (!here) here = std::make_shared<text_replica>(replica_id{});
        auto& id = ids[x.agent];
        if (id == replica_id{} || here->version()[id] != last[id]) id = replica_id{0x9e3779b97f4a7c15 * next_id++};
        if (here->id() != id)
            here = std::make_shared<text_replica>(id, joinery::causal<joinery::rga_text>(here->state()));
        out.updates.push_back(edited(*here, x.patches));
        out.writers.push_back(id);
        last[id] = here->version()[id];
        if (children[i] == 0)
            out.merged.join(here->state());
        else
            after[i] = std::move(here);
    }
    return out;
}

std::size_t check_each_writer(const trace& t, const replayed& r) {
    const std::set<replica_id> writers(r.writers.begin(), r.writers.end());
    bool backward = false;
    for (const auto id : writers) {
        backward = !backward;
        text_replica own{id};
        std::vector<bool> seen(t.transactions.size());
        std::vector<std::uint32_t> unseen;
        const auto join_unseen = [&] {
            std::sort(unseen.begin(), unseen.end());
            if (backward) std::reverse(unseen.begin(), unseen.end());
            for (const auto i : unseen) join(own, r.updates[i]);
            unseen.clear();
        };
        const auto see = [&](std::uint32_t i) {
            if (seen[i]) return;
            seen[i] = true;
            unseen.push_back(i);
        };
        for (std::uint32_t i = 0; i < t.transactions.size(); ++i) {
            if (r.writers[i] != id) continue;
            for (const auto p : t.transactions[i].parents) see(p);
            for (std::size_t k = 0; k < unseen.size(); ++k)
                for (const auto p : t.transactions[unseen[k]].parents) see(p);
            join_unseen();
            if (edited(own, t.transactions[i].patches) != r.updates[i])
                throw std::runtime_error(t.name + ": a writer's own replica makes another update");
            seen[i] = true;
        }
        for (std::uint32_t i = 0; i < t.transactions.size(); ++i) see(i);
        join_unseen();
        if (own->str() != t.end || !(own.state() == r.merged))
            throw std::runtime_error(t.name + ": a writer's own replica ends with another text");
    }
    return writers.size();
}

trace flattened(const trace& t, const replayed& r) {
    trace out;
    out.name = t.name + "-flat";
    out.end = t.end;
    text_replica reader{replica_id{}};
    for (const auto& u : r.updates) {
        const auto before = reader->revision();
        const auto length = reader->size();
        join(reader, u);
        auto changes = reader->changes_since(before);
        if (!changes) changes = {{0, length, reader->str()}};
        if (changes->empty()) continue;
        auto& x = out.transactions.emplace_back();
        if (out.transactions.size() > 1) x.parents.push_back(static_cast<std::uint32_t>(out.transactions.size() - 2));
        std::size_t position = 0;
        for (const auto& c : *changes) {
            position += c.retain;
            x.patches.push_back({static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(c.erase), c.insert});
            position += code_points(c.insert).size();
        }
    }
    return out;
}

} // namespace bench
