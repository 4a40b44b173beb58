// SPDX-License-Identifier: Apache-2.0
#include "answers.hpp"

#include <joinery/claims.hpp>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

namespace joinery::chaos {

namespace {

using namespace std::chrono_literals;

constexpr auto patience = 300ms; // a home may be away for long, and clients have more to do

constexpr auto claims_in = [](auto& b) -> auto& { return b.all; };

// `any` is the prefix of all keys.
std::string prefix(const request& r) { return r.word(0) == "any" ? "" : r.word(0); }

// Claims, and who grants them:
//
//     21 claims claim KEY [OWNER]        the owner is the operation's number, or that of one that is asked again
//     22 claims hand-over PREFIX ID NAME
//     23 claims take-over PREFIX NAME    by the leader that is asked, of this name
//     24 claims home PREFIX
class desk final : public workload {
public:
    explicit desk(const leader<claims_board>& at) : leader_(at), registrar_(at, claims_in) {}

    const std::string& name() const override { return leader_.name(); }
    std::uint64_t digest() const override {
        return leader_.read([](const causal<claims_board>& s) { return s.digest(); });
    }

    std::string perform(const request& r, const std::function<void(const std::string&)>&) override {
        try {
            if (r.action == "read") return read_board(leader_, r, look);
        } catch (const std::exception& e) {
            return "failed " + std::string(e.what());
        }
        try {
            return write(r);
        } catch (const std::exception& e) { // here, and maybe elsewhere it was done before
            return "unknown " + std::string(e.what());
        }
    }

private:
    leader<claims_board> leader_;
    registrar<leader<claims_board>, decltype(claims_in)> registrar_;

    std::string write(const request& r) {
        if (r.action == "claim") return claim(r);
        if (r.action == "home") {
            const auto at = registrar_.home_of(prefix(r));
            return at ? "ok value=" + to_string(at->node) : "failed nobody is the home";
        }
        if (r.action == "hand-over") {
            const auto done =
                registrar_.hand_over(prefix(r), replica_id{std::stoull(r.word(1), nullptr, 16)}, r.word(2), patience);
            return done.done() ? "ok"
                               : (done.status == home_status::unknown ? "unknown " : "failed ") + to_string(done);
        }
        if (r.action != "take-over") throw std::invalid_argument("claims: " + r.action);
        const auto id = leader_.id();
        (void)registrar_.take_over(prefix(r), id, r.word(1));
        return "ok value=" + to_string(id);
    }

    std::string claim(const request& r) {
        const auto said =
            registrar_.claim(r.word(0), r.arguments.size() > 1 ? r.word(1) : std::to_string(r.number), patience);
        if (said.status == claim_status::unknown) return "unknown " + to_string(said);
        if (said.status != claim_status::granted && said.status != claim_status::taken)
            return "failed " + to_string(said);
        list owners; // the one whose it is first
        owners.add(said.owner);
        for (const auto& o : said.others) owners.add(o);
        return "ok value=" + owners.str() + " home=" + said.home;
    }

    // Each claim as KEY:OWNER:EPOCH:HOME, of a key in the order that all leaders agree upon.
    static std::string look(const claims_board& b) {
        std::vector<std::string> keys;
        for (const auto& [key, claimed] : b.all.granted) keys.push_back(key);
        std::sort(keys.begin(), keys.end());
        std::vector<std::uint64_t> owners;
        list items;
        for (const auto& key : keys)
            for (const auto& c : b.all.of(key)) {
                owners.push_back(std::stoull(c.owner));
                items.add(key + ':' + c.owner + ':' + std::to_string(c.epoch) + ':' + to_string(c.home));
            }
        return "ok mask=" + hexadecimal(owners) + " value=" + items.str();
    }
};

} // namespace

std::unique_ptr<workload> open_claims(node& at) { return std::make_unique<desk>(at.open<claims_board>("claims")); }

} // namespace joinery::chaos
