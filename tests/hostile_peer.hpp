// SPDX-License-Identifier: Apache-2.0
#pragma once

// A peer that has a key and the right to write, and abuses it in every way there is. It knows what it has heard, and
// says what it likes on links that whoever holds it provides: a router in memory, or real sockets.

#include <joinery/messages.hpp>
#include <joinery/replica.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// The edits that it makes in a collection, of whatever type.
class hostile_edits {
public:
    using bytes = std::vector<std::byte>;
    /// What makes an edit is given these in place of its number: for one of another replica, and for great ones.
    static constexpr std::uint64_t forgery = std::uint64_t{1} << 40, great = std::uint64_t{1} << 41;

    virtual ~hostile_edits() = default;
    virtual std::uint64_t fingerprint() const = 0;
    /// Its next one, encoded, and the sequence number that this begins with.
    virtual std::pair<std::uint64_t, bytes> next(bool years_ahead) = 0;
    /// All of them.
    virtual bytes state() const = 0;
    /// Of another replica, from its first on; or said to be of these dots.
    virtual bytes forged(joinery::replica_id who, const std::optional<joinery::dot_range>& as) const = 0;
    /// A fresh beginning under the same id: great ones.
    virtual std::vector<bytes> again(std::size_t n) const = 0;
};

/// `edit(T&, transaction&, std::uint64_t n)` makes the nth edit.
template <class T, class Edit> class hostile_edits_of final : public hostile_edits {
public:
    hostile_edits_of(joinery::replica_id id, Edit edit)
        : edit_(std::move(edit)), own_(id, joinery::hybrid_clock([ahead = ahead_] {
                                           return joinery::system_milliseconds() + (*ahead ? fifty_years : 0);
                                       })) {}

    std::uint64_t fingerprint() const override { return joinery::fingerprint<T>(); }
    std::pair<std::uint64_t, bytes> next(bool years_ahead) override {
        *ahead_ = years_ahead;
        const auto first = own_.version()[own_.id()] + 1;
        return {first, encode(own_.edit([&](T& value, joinery::transaction& tx) { edit_(value, tx, made_++); }))};
    }
    bytes state() const override { return encode(own_.state().whole()); }
    bytes forged(joinery::replica_id who, const std::optional<joinery::dot_range>& as) const override {
        joinery::replica<T> r(who);
        auto d = r.edit([&](T& value, joinery::transaction& tx) { edit_(value, tx, forgery); });
        if (as) {
            d.covered = {};
            d.covered.add(*as);
        }
        return encode(d);
    }
    std::vector<bytes> again(std::size_t n) const override {
        joinery::replica<T> r(own_.id());
        std::vector<bytes> all;
        while (all.size() < n)
            all.push_back(
                encode(r.edit([&](T& value, joinery::transaction& tx) { edit_(value, tx, great + all.size()); })));
        return all;
    }

private:
    static constexpr std::uint64_t fifty_years = std::uint64_t{50} * 365 * 24 * 3600 * 1000;
    Edit edit_;
    std::shared_ptr<bool> ahead_ = std::make_shared<bool>(false);
    joinery::replica<T> own_;
    std::uint64_t made_ = 0;
};

class hostile_peer {
public:
    using bytes = std::vector<std::byte>;
    struct setting {
        joinery::replica_id id{};
        std::vector<std::pair<std::string, std::unique_ptr<hostile_edits>>> collections{}; ///< by name
        std::size_t nodes = 1;                                                             ///< that it talks to
        std::size_t most_edits = 200; ///< of its own, in each collection
        std::function<void(std::size_t to, std::span<const std::byte> frame)> give{};
        std::function<void(std::size_t to)> reconnect{}; ///< the link ends, and another begins
    };
    /// How often each kind of act comes: where each counts, and where there are millions and great ones are rare.
    enum class mixture : std::uint8_t { few, many };
    struct kind {
        const char* name;
        unsigned few, many; ///< of the sum of all
        bool mended;        ///< real traffic, changed, with its checksum corrected
        void (hostile_peer::*run)(std::size_t to);
    };
    static const std::vector<kind>& kinds();

    hostile_peer(setting s, std::uint64_t seed);
    hostile_peer(const hostile_peer&) = delete;
    hostile_peer& operator=(const hostile_peer&) = delete;

    /// A frame that a node has sent to it.
    void hear(std::size_t from, std::span<const std::byte> frame);
    /// Any other: real traffic, which is remembered.
    void overhear(std::span<const std::byte> frame);
    /// Says who it is, as a good peer does.
    void greet(std::size_t to);
    /// One act against one of the nodes: some frames.
    void act(mixture m);
    /// Frames, by kind of act.
    const std::vector<std::uint64_t>& given() const { return given_; }
    std::uint64_t frames() const { return frames_; }

private:
    struct collection {
        std::unique_ptr<hostile_edits> made;
        std::uint64_t name = 0;
        joinery::channel channel;
        std::vector<std::pair<std::uint64_t, bytes>> edits{}; // own ones, by their first sequence number
    };
    struct node {
        joinery::replica_id id;
        std::uint64_t nonce = 1, challenge = 0;
        std::map<joinery::channel, joinery::version_vector> versions;
        std::optional<joinery::pull> pulled;
    };

    setting set_;
    std::mt19937_64 random_;
    std::vector<std::uint64_t> given_;
    std::vector<collection> all_;
    std::vector<node> nodes_;
    std::vector<bytes> remembered_;
    std::vector<joinery::replica_id> known_;
    std::uint64_t nonce_, number_ = 0, frames_ = 0;
    std::size_t current_ = 0; // of the kinds
    std::size_t begun_ = 0;   // how many of them it has done
    bytes noise_;

    void meet(joinery::replica_id who);
    joinery::replica_id somebody();
    joinery::replica_id made_up();
    joinery::replica_id anybody();
    collection& any() { return all_[random_() % all_.size()]; }
    std::uint64_t sequence();
    joinery::version_vector version(std::size_t replicas);
    joinery::version_vector version_of_made_up(std::size_t replicas);
    std::span<const std::byte> noise(std::size_t size);
    joinery::hello hello_now();
    const bytes& own_edit(std::size_t to, collection& c);
    const bytes& remembered();

    void raw(std::size_t to, std::span<const std::byte> frame);
    template <class... M> void say(std::size_t to, const M&... m);
    void flip(bytes& b, std::size_t bits);
    void flip_body(std::size_t to, std::span<const std::byte> frame);

    void noise_frame(std::size_t to);
    void cut_off(std::size_t to);
    void flip_unmended(std::size_t to);
    void flip_mended(std::size_t to);
    void splice(std::size_t to);
    void replay(std::size_t to);
    void own_changed(std::size_t to);
    void own_edits(std::size_t to);
    void gaps(std::size_t to);
    void change_id(std::size_t to);
    void beacons(std::size_t to);
    void made_up_versions(std::size_t to);
    void beyond(std::size_t to);
    void chunks(std::size_t to);
    void answer(std::size_t to);
    void members(std::size_t to);
    void acknowledge(std::size_t to);
    void presences(std::size_t to);
    void requests(std::size_t to);
    void pulls(std::size_t to);
    void questions(std::size_t to);
    void refusals(std::size_t to);
    void hello_again(std::size_t to);
    void connect_anew(std::size_t to);
    void oversize(std::size_t to);
};
