// SPDX-License-Identifier: Apache-2.0
#pragma once

// Runs a history: a few replicas, the deltas that were ever made, and after each step the laws and the
// specification. What is wrong is thrown as a `violation`.

#include <joinery/distribution.hpp>
#include <joinery/history.hpp>
#include <joinery/laws.hpp>
#include <joinery/subject.hpp>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace joinery::testing {

/// A law that does not hold, and how.
struct violation {
    std::string law;
    std::string what;
};

/// When a replica may take a peer's version for an acknowledgement. The right rule: once all dots that the
/// peer had issued by then are contiguous here. (At once: an entry can come back from a delta that is still
/// under way; there so that tests can show that they find this.)
enum class acknowledgement { when_contiguous, at_once };

template <crdt T, class E> class cluster {
public:
    /// `story` gets a readable line for each step, if it is not null.
    cluster(const subject<T, E>& s, const history& h, distribution& counts, std::vector<std::string>* story = nullptr,
            acknowledgement rule = acknowledgement::when_contiguous);

    /// Runs the history and then anti-entropy until all replicas have everything. Throws violation.
    void run();

private:
    struct member {
        replica<T> self;
        bool stale;
        std::vector<std::vector<version_vector>> heard{}; // by peer: the versions that it told, oldest first
    };
    struct snapshot {
        causal<T> copy;
        std::vector<std::byte> bytes;
    };
    struct thrown_on_purpose {};

    const subject<T, E>& subject_;
    const history& history_;
    distribution& counts_;
    std::vector<std::string>* story_;
    acknowledgement rule_;
    std::shared_ptr<std::uint64_t> wall_ = std::make_shared<std::uint64_t>(1'700'000'000'000);
    std::uint64_t steps_ = 0;
    std::vector<member> members_;
    std::map<std::uint32_t, delta<T>> deltas_;
    std::deque<event<E>> events_;
    causal_context issued_;
    std::vector<causal_context> edits_;                      // the dots of each edit
    std::map<std::vector<std::byte>, causal<T>> first_at_;   // by context: the first state that had it
    std::map<std::vector<std::byte>, std::string> model_at_; // by context: the specification's answer
    std::vector<snapshot> snapshots_;
    std::vector<std::pair<causal_context, causal_context>> tidied_; // edits that only tidied up, and what they had seen

    static void require(const char* law, const problem& p) {
        if (p) throw violation{law, *p};
    }
    static std::string name(std::size_t r) { return name_of(numbered_replica(r)); }
    std::size_t index(std::uint32_t r) const { return r % members_.size(); }
    // Time goes downwards, a column for each replica.
    void tell(const std::string& line, std::size_t who = SIZE_MAX, char mark = '|') {
        if (!story_) return;
        std::string columns;
        for (std::size_t r = 0; r < history_.replicas; ++r) columns += {r == who ? mark : '|', ' '};
        story_->push_back(columns + " " + line);
    }
    std::string now_at(std::size_t r) const {
        const auto& m = members_[r];
        std::string out = ", has " + name_of(m.self.state().context());
        if (subject_.view()) out += ": " + subject_.view()(*m.self);
        return out;
    }
    wall_clock clock_of(std::size_t r) const;
    E apply(std::uint64_t seed, T& value, transaction& tx, std::string& said) const;

    void step(const action& a);
    void edit(std::size_t r, const action& a);
    void failing_edit(std::size_t r, const std::vector<std::uint64_t>& operations);
    void deliver(std::size_t r, const delta<T>& d, const std::string& what);
    void group(const action& a);
    void pull(std::size_t r, std::size_t from);
    void ask(std::size_t r, std::size_t from, std::uint32_t id);
    void prune(std::size_t r, const version_vector& stable, const std::string& why);
    void tidy(std::size_t r, const version_vector& stable);
    bool closed(const seen_events<E>& seen) const;
    void restart(std::size_t r);
    void algebra(const action& a);
    version_vector stable_by_hearsay(std::size_t r) const;
    version_vector stable_in_fact(std::size_t r) const;
    delta<T> any_delta(std::uint32_t n) const;
    void check(std::size_t r);
    void compare_with_specification(std::size_t r, const std::vector<std::byte>& key);
    void finish();
};

} // namespace joinery::testing

#include <joinery/cluster_steps.hpp>
