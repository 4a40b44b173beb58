// SPDX-License-Identifier: Apache-2.0
#include "planted.hpp"

#include <joinery/messages.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <utility>
#include <vector>

namespace joinery::chaos {

namespace {

using steady = std::chrono::steady_clock;

std::atomic<planted_bug> planted{planted_bug::none};
std::atomic<std::uint64_t> own_id{0};
bool forgot = false;        // at the start: what the storage had
steady::time_point started; // for how long the peers' memory of it is kept from it
constexpr std::chrono::seconds ignorance{2};

// Of whatever board it is; empty if it is none.
template <class... Board>
std::vector<std::byte> renamed_by_type(std::span<const std::byte> edit, const dot_renaming& renaming) {
    std::vector<std::byte> out;
    const auto attempt = [&]<class B>(const B*) {
        if (!out.empty() || !decode<delta<B>>(edit)) return;
        if (const auto d = decode<delta<B>>(edit, &renaming)) out = encode(*d);
    };
    (attempt(static_cast<const Board*>(nullptr)), ...);
    return out;
}

class tampered_transport final : public transport, private transport_events {
public:
    explicit tampered_transport(std::unique_ptr<transport> inner) : inner_(std::move(inner)) {}

    void broadcast(std::span<const std::byte> frame) override { inner_->broadcast(tamper(frame)); }
    bool send(link_id link, std::span<const std::byte> frame) override { return inner_->send(link, tamper(frame)); }
    void wait(std::chrono::milliseconds timeout) override { inner_->wait(timeout); }
    void poll(transport_events& events) override {
        events_ = &events;
        inner_->poll(*this);
    }
    void wake() override { inner_->wake(); }
    void connect(const std::string& address) override { inner_->connect(address); }
    void disconnect(const std::string& address) override { inner_->disconnect(address); }
    std::size_t max_frame() const override { return inner_->max_frame(); }
    std::string address() const override { return inner_->address(); }
    statistics stats() const override { return inner_->stats(); }

private:
    std::unique_ptr<transport> inner_;
    transport_events* events_ = nullptr;
    simulation::last_beacon last_;
    std::vector<std::byte> sent_, heard_;

    std::span<const std::byte> tamper(std::span<const std::byte> frame) {
        sent_ = simulation::tampered_frame(
            planted, frame, replica_id{own_id}, false, last_,
            renamed_by_type<set_board, counter_board, register_board, bank_board, text_board>);
        return sent_;
    }
    // A node that has forgotten edits must not hear of them from others, or it would know.
    void received(link_id link, std::span<const std::byte> frame) override {
        const bool ignorant = forgot && steady::now() - started < ignorance;
        if (!ignorant) return events_->received(link, frame);
        heard_ = simulation::tampered_frame(planted, frame, replica_id{own_id}, true, last_);
        events_->received(link, heard_);
    }
    void connected(link_id link) override { events_->connected(link); }
    void disconnected(link_id link) override { events_->disconnected(link); }
};

} // namespace

std::optional<planted_bug> bug_of(std::string_view name) {
    static constexpr std::string_view names[] = {"none",         "last_beacon",     "acknowledge_early",
                                                 "dots_reused",  "no_dependencies", "full_context",
                                                 "pruned_early", "plain_stability", "wrong_origin"};
    static_assert(std::size(names) == static_cast<std::size_t>(planted_bug::count_));
    const auto at = std::find(std::begin(names), std::end(names), name);
    if (at == std::end(names)) return std::nullopt;
    return static_cast<planted_bug>(at - std::begin(names));
}

void plant(planted_bug bug) {
    planted = bug;
    started = steady::now();
}
void plant_in(replica_id node) { own_id = node.value(); }

std::unique_ptr<transport> tampered(std::unique_ptr<transport> inner) {
    if (planted == planted_bug::none) return inner;
    return std::make_unique<tampered_transport>(std::move(inner));
}

std::unique_ptr<storage> tampered(std::unique_ptr<storage> inner) {
    if (planted == planted_bug::acknowledge_early) return simulation::lazy_storage(std::move(inner));
    if (planted == planted_bug::dots_reused) return simulation::forgetful_storage(std::move(inner), forgot);
    return inner;
}

} // namespace joinery::chaos

namespace joinery {

using chaos::planted;
using chaos::planted_bug;

template <> std::vector<std::byte> replicated<chaos::set_board>::delta_since(const version_vector& peer) const {
    auto d = replica_.delta_since(peer);
    if (planted == planted_bug::full_context) d.covered = context();
    return encode(d);
}
// As in replicated.hpp, but for the last but one line.
template <>
result<bool, decode_error> replicated<chaos::text_board>::join(std::span<const std::byte> bytes,
                                                               const dot_range* edit) {
    const auto d = decode<delta<chaos::text_board>>(bytes);
    if (!d) return failure<decode_error>(d.error());
    if (edit && !(d->since.empty() && d->horizon.empty() && d->covered == causal_context{*edit}))
        return failure<decode_error>(decode_error::invalid_value);
    const bool changed = replica_.join(*d, noted());
    if (changed) grew();
    if (planted == planted_bug::pruned_early) replica_.prune(version(), {});
    return changed;
}
template <>
void replicated<chaos::wrong_text_board>::prune(const version_vector& stable, std::span<const replica_id> absent) {
    const simulation::simulated_text::plain_stability plainly(context());
    replica_.prune(stable, absent);
}

} // namespace joinery
