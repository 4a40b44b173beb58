// SPDX-License-Identifier: Apache-2.0
#include "planted_bugs.hpp"

#include <joinery/messages.hpp>

namespace joinery::simulation {

namespace {

template <class M> void change(planted_bug, M&, bool) {}
void change(planted_bug bug, beacon& m, bool forgot) {
    if (bug == planted_bug::dots_reused && forgot)
        for (auto& c : m.collections) c.version = {};
}
void change(planted_bug bug, hello& m, bool forgot) {
    if (bug == planted_bug::dots_reused && forgot)
        for (auto& c : m.collections) c.version = {};
}
void change(planted_bug bug, update& m, bool) {
    if (bug == planted_bug::no_dependencies) m.dependencies = {};
}

class passing_storage : public storage {
public:
    explicit passing_storage(std::unique_ptr<storage> inner) : inner_(std::move(inner)) {}
    durability level() const override { return inner_->level(); }
    stored_node load() override { return inner_->load(); }
    void set_id(replica_id id) override { inner_->set_id(id); }
    std::uint32_t attach(std::string_view name, std::uint64_t type) override { return inner_->attach(name, type); }
    void append(std::uint32_t c, std::span<const std::byte> record) override { inner_->append(c, record); }
    void sync() override { inner_->sync(); }
    void harden() override { inner_->harden(); }
    void compact(std::uint32_t c, std::span<const std::byte> snapshot) override { inner_->compact(c, snapshot); }
    void rebase(replica_id id, std::span<const std::pair<std::uint32_t, std::vector<std::byte>>> all) override {
        inner_->rebase(id, all);
    }
    void close() override { inner_->close(); }
    statistics stats() const override { return inner_->stats(); }

protected:
    std::unique_ptr<storage> inner_;
};

struct lazy final : passing_storage {
    using passing_storage::passing_storage;
    void append(std::uint32_t c, std::span<const std::byte> record) override {
        if (due_) inner_->sync();
        due_ = false;
        inner_->append(c, record);
    }
    void sync() override { due_ = true; }
    void harden() override { due_ = true; }

private:
    bool due_ = false;
};

struct forgetful final : passing_storage {
    forgetful(std::unique_ptr<storage> inner, bool& forgot) : passing_storage(std::move(inner)), forgot_(forgot) {}
    stored_node load() override {
        auto was = inner_->load();
        for (auto& c : was.collections) {
            if (c.records.empty()) continue;
            c.records.pop_back();
            forgot_ = true;
        }
        return was;
    }

private:
    bool& forgot_;
};

// What the engine sees. The typed side is the inner one, from which machine::edit brings the edits.
class passing_state : public replicated_state {
public:
    explicit passing_state(replicated_state& inner) : inner_(inner) {}
    std::uint64_t fingerprint() const override { return inner_.fingerprint(); }
    replica_id id() const override { return inner_.id(); }
    const causal_context& context() const override { return inner_.context(); }
    const hybrid_clock& clock() const override { return inner_.clock(); }
    sibling_counts siblings() const override { return inner_.siblings(); }
    result<bool, decode_error> join(std::span<const std::byte> delta, const dot_range* edit) override {
        return inner_.join(delta, edit);
    }
    result<std::unique_ptr<answer>, decode_error>
    read_answer(const version_vector& horizon, std::span<const std::span<const std::byte>> deltas) const override {
        return inner_.read_answer(horizon, deltas);
    }
    result<bool, decode_error> join(answer& a) override { return inner_.join(a); }
    std::vector<std::byte> delta_since(const version_vector& peer) const override { return inner_.delta_since(peer); }
    const version_vector& horizon() const override { return inner_.horizon(); }
    std::vector<std::byte> whole() const override { return inner_.whole(); }
    result<bool, decode_error> restore(replica_id id, std::span<const std::byte> whole) override {
        return inner_.restore(id, whole);
    }
    void prune(const version_vector& stable, std::span<const replica_id> absent) override {
        inner_.prune(stable, absent);
    }
    bool tidy(const version_vector& stable) override { return inner_.tidy(stable); }
    bool prunable() const override { return inner_.prunable(); }
    bool leaves_tombstones() const override { return inner_.leaves_tombstones(); }
    std::uint64_t digest() const override { return inner_.digest(); }
    std::vector<std::uint64_t> digests(std::span<const dot_range> parts) const override {
        return inner_.digests(parts);
    }
    std::vector<std::byte> extract(const causal_context& wanted) const override { return inner_.extract(wanted); }
    result<bool, decode_error> replace(std::span<const std::byte> delta, const causal_context& wanted) override {
        return inner_.replace(delta, wanted);
    }
    void hold_from(std::uint64_t seq) override { inner_.hold_from(seq); }
    void confirm() override { inner_.confirm(); }
    void rename_from(std::uint64_t seq, replica_id to) override { inner_.rename_from(seq, to); }
    result<bool, decode_error> rejoin(answer* a, std::uint64_t seq, replica_id to) override {
        return inner_.rejoin(a, seq, to);
    }

protected:
    replicated_state& inner_;
};

template <class D> struct full_context final : passing_state {
    explicit full_context(replicated<D>& inner) : passing_state(inner), typed_(inner) {}
    std::vector<std::byte> delta_since(const version_vector& peer) const override {
        auto d = typed_.get().delta_since(peer);
        d.covered = typed_.context();
        return encode(d);
    }

private:
    replicated<D>& typed_;
};

struct pruning_early final : passing_state {
    using passing_state::passing_state;
    result<bool, decode_error> join(std::span<const std::byte> delta, const dot_range* edit) override {
        auto joined = passing_state::join(delta, edit);
        inner_.prune(inner_.version(), {});
        return joined;
    }
    result<bool, decode_error> join(answer& a) override {
        auto joined = passing_state::join(a);
        inner_.prune(inner_.version(), {});
        return joined;
    }
};

struct pruning_plainly final : passing_state {
    using passing_state::passing_state;
    void prune(const version_vector& stable, std::span<const replica_id> absent) override {
        const simulated_text::plain_stability plainly(inner_.context());
        inner_.prune(stable, absent);
    }
};

template <class D> std::unique_ptr<replicated_state> tampered(planted_bug bug, replicated<D>& inner) {
    switch (bug) {
    case planted_bug::full_context: return std::make_unique<full_context<D>>(inner);
    case planted_bug::pruned_early: return std::make_unique<pruning_early>(inner);
    case planted_bug::plain_stability: return std::make_unique<pruning_plainly>(inner);
    default: return nullptr;
    }
}

} // namespace

// The one before is repeated instead, so that the node does not seem to be down.
void last_beacon::keep_back(beacon& m) {
    for (auto& c : m.collections) {
        auto& [before, last] = own_[{c.channel, m.replica}];
        const auto own = c.version[m.replica];
        if (own > last) before = std::exchange(last, own);
        if (own <= before) continue;
        c.version.set(m.replica, before);
        c.digest.reset(); // it is of the other version
    }
}

std::vector<std::byte> renamed_document(std::span<const std::byte> edit, const dot_renaming& renaming) {
    const auto d = decode<delta<document>>(edit, &renaming);
    return d ? encode(*d) : std::vector<std::byte>();
}

std::vector<std::byte> tampered_frame(planted_bug bug, std::span<const std::byte> frame, replica_id sender,
                                      bool somebody_forgot, last_beacon& last, edit_renaming renamed) {
    const auto opened = open_frame(frame);
    if (!opened) return {frame.begin(), frame.end()};
    message_batch batch;
    message_reader reader(opened->body);
    message m;
    for (auto more = reader.next(m); more && *more; more = reader.next(m))
        std::visit(
            [&](auto& x) {
                std::vector<std::byte> other;
                if constexpr (std::is_same_v<std::decay_t<decltype(x)>, update>) {
                    const auto dots = edit_dots(x.delta);
                    if (bug == planted_bug::wrong_origin && dots->replica != sender) {
                        other = renamed(x.delta, dot_renaming{dots->replica, dots->first - 1, sender});
                        if (!other.empty()) x.delta = other;
                    }
                }
                if constexpr (std::is_same_v<std::decay_t<decltype(x)>, beacon>)
                    if (bug == planted_bug::last_beacon) last.keep_back(x);
                change(bug, x, somebody_forgot);
                batch.add(x);
            },
            m);
    const auto out = batch.close(opened->kind);
    return {out.begin(), out.end()};
}

std::unique_ptr<storage> lazy_storage(std::unique_ptr<storage> inner) {
    return std::make_unique<lazy>(std::move(inner));
}
std::unique_ptr<storage> forgetful_storage(std::unique_ptr<storage> inner, bool& forgot) {
    return std::make_unique<forgetful>(std::move(inner), forgot);
}
std::unique_ptr<replicated_state> tampered_state(planted_bug bug, replicated<document>& inner) {
    return tampered(bug, inner);
}
std::unique_ptr<replicated_state> tampered_state(planted_bug bug, replicated<ledger>& inner) {
    return tampered(bug, inner);
}

} // namespace joinery::simulation
