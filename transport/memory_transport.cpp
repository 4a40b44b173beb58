// SPDX-License-Identifier: Apache-2.0
#include <joinery/memory_transport.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <unordered_map>
#include <utility>

namespace joinery {

namespace {

constexpr std::size_t poll_budget = std::size_t{1} << 18; // bytes that one poll hands over, about
constexpr std::size_t frame_cost = 64;                    // what a frame costs of it besides its bytes
constexpr std::chrono::milliseconds longest_wait = std::chrono::hours(24);

} // namespace

class memory_node;

/// All that the transports share, and the mutex that guards it together with everything in them.
class memory_network::state {
public:
    explicit state(const memory_network_options& o) : options(o) {}

    const memory_network_options options;
    std::mutex mutex;
    std::map<std::string, memory_node*> listening;
    std::set<memory_node*> nodes;
};

class memory_node final : public transport {
public:
    memory_node(std::shared_ptr<memory_network::state> network, std::string name, const std::vector<std::string>& peers,
                std::optional<peer_key> key)
        : network_(std::move(network)), name_(std::move(name)), key_(key) {
        std::lock_guard lock(network_->mutex);
        if (!name_.empty() && !network_->listening.emplace(name_, this).second) {
            throw std::runtime_error("memory_network: make \"" + name_ + "\": the name is in use");
        }
        network_->nodes.insert(this);
        for (const auto& address : peers) dial(address);
        if (name_.empty()) return;
        for (memory_node* other : network_->nodes) {
            if (auto at = other->dialled_.find(name_); at != other->dialled_.end()) join(*other, at->second, *this);
        }
    }

    ~memory_node() override {
        std::lock_guard lock(network_->mutex);
        while (!links_.empty()) part(*this, links_.begin()->first);
        network_->nodes.erase(this);
        if (!name_.empty()) network_->listening.erase(name_);
    }

    void broadcast(std::span<const std::byte> frame) override {
        std::lock_guard lock(network_->mutex);
        if (frame.size() > network_->options.max_frame) {
            ++stats_.dropped;
            return;
        }
        ++stats_.frames_out;
        stats_.bytes_out += frame.size();
        shared_bytes copy; // one for all
        for (const auto& [id, l] : links_) {
            if (!l.dialled_in) continue;
            if (!l.peer->has_room(frame.size())) {
                ++stats_.dropped;
                continue;
            }
            if (!copy) copy = share(frame);
            l.peer->queue({event::kind::frame, l.theirs, copy});
        }
    }

    bool send(link_id link, std::span<const std::byte> frame) override {
        std::lock_guard lock(network_->mutex);
        const auto at = links_.find(link);
        if (at == links_.end() || frame.size() > network_->options.max_frame) return false;
        const auto& l = at->second;
        if (!l.peer->has_room(frame.size())) return false;
        ++stats_.frames_out;
        stats_.bytes_out += frame.size();
        l.peer->queue({event::kind::frame, l.theirs, share(frame)});
        return true;
    }

    void wait(std::chrono::milliseconds timeout) override {
        std::unique_lock lock(network_->mutex);
        arrived_.wait_for(lock, std::clamp(timeout, std::chrono::milliseconds(0), longest_wait),
                          [&] { return woken_ || !inbox_.empty(); });
        woken_ = false;
    }

    void poll(transport_events& events) override {
        std::unique_lock lock(network_->mutex);
        // Each is taken from the inbox before the owner is told: it may call us, or throw.
        for (std::size_t budget = poll_budget; budget > 0 && !inbox_.empty();) {
            const event e = std::move(inbox_.front());
            inbox_.pop_front();
            const std::size_t size = e.bytes ? e.bytes->size() : 0;
            budget -= std::min(budget, size + frame_cost);
            if (e.what == event::kind::frame) {
                --queued_frames_;
                queued_bytes_ -= size;
                ++stats_.frames_in;
                stats_.bytes_in += size;
            }
            lock.unlock();
            switch (e.what) {
            case event::kind::frame: events.received(e.link, *e.bytes); break;
            case event::kind::connected: events.connected(e.link); break;
            case event::kind::disconnected: events.disconnected(e.link); break;
            }
            lock.lock();
        }
    }

    void wake() override {
        std::lock_guard lock(network_->mutex);
        woken_ = true;
        arrived_.notify_one();
    }

    void connect(const std::string& address) override {
        std::lock_guard lock(network_->mutex);
        dial(address);
    }

    void disconnect(const std::string& address) override {
        std::lock_guard lock(network_->mutex);
        const auto at = dialled_.find(address);
        if (at == dialled_.end()) return;
        if (links_.contains(at->second)) part(*this, at->second);
        dialled_.erase(at);
    }

    std::optional<peer_key> own_key() const override { return key_; }
    std::optional<peer_key> key_of(link_id link) const override {
        std::lock_guard lock(network_->mutex);
        const auto at = links_.find(link);
        return at == links_.end() ? std::nullopt : at->second.peer->key_;
    }

    void admit(const std::vector<peer_key>& keys) override {
        std::lock_guard lock(network_->mutex);
        if (!key_) return;
        admitted_.emplace(keys.begin(), keys.end());
        std::vector<link_id> ended;
        for (const auto& [id, l] : links_)
            if (!lets_in(*l.peer)) ended.push_back(id);
        for (const auto id : ended) part(*this, id);
        for (memory_node* node : network_->nodes)
            for (const auto& [address, link] : node->dialled_)
                if (const auto at = network_->listening.find(address); at != network_->listening.end())
                    join(*node, link, *at->second);
    }

    std::size_t max_frame() const override { return network_->options.max_frame; }
    std::string address() const override { return name_; }
    statistics stats() const override {
        std::lock_guard lock(network_->mutex);
        return stats_;
    }

private:
    using shared_bytes = std::shared_ptr<const std::vector<std::byte>>;

    struct event {
        enum class kind : std::uint8_t { frame, connected, disconnected };
        kind what;
        link_id link; // the receiver's
        shared_bytes bytes;
    };
    /// One end of a connection; both ends exist or neither does.
    struct end {
        memory_node* peer;
        link_id theirs;
        bool dialled_in; // by the peer, which therefore hears what this node broadcasts
    };

    const std::shared_ptr<memory_network::state> network_;
    const std::string name_;
    const std::optional<peer_key> key_;
    std::condition_variable arrived_;

    // Guarded by network_->mutex.
    std::map<std::string, link_id> dialled_; // connected or not
    std::set<link_id> once_connected_;       // of these
    std::unordered_map<link_id, end> links_;
    link_id next_link_ = 1;
    std::optional<std::set<peer_key>> admitted_; // none: everybody
    std::deque<event> inbox_;
    std::size_t queued_frames_ = 0, queued_bytes_ = 0;
    bool woken_ = false;
    statistics stats_;

    static shared_bytes share(std::span<const std::byte> frame) {
        return std::make_shared<const std::vector<std::byte>>(frame.begin(), frame.end());
    }

    // What follows requires the mutex.

    bool lets_in(const memory_node& other) const {
        return !admitted_ || (other.key_ && admitted_->contains(*other.key_));
    }

    bool has_room(std::size_t bytes) const {
        return queued_frames_ < network_->options.queue_frames &&
               bytes <= network_->options.queue_bytes - queued_bytes_;
    }

    void queue(event e) {
        if (e.what == event::kind::frame) {
            ++queued_frames_;
            queued_bytes_ += e.bytes->size();
        }
        inbox_.push_back(std::move(e));
        arrived_.notify_one();
    }

    void dial(const std::string& address) {
        const auto [at, added] = dialled_.emplace(address, next_link_);
        if (!added) return;
        ++next_link_;
        const auto listener = network_->listening.find(address);
        if (listener != network_->listening.end()) join(*this, at->second, *listener->second);
    }

    static void join(memory_node& dialler, link_id link, memory_node& listener) {
        if (&dialler == &listener || dialler.links_.contains(link)) return;
        if (!dialler.lets_in(listener) || !listener.lets_in(dialler)) return;
        const link_id theirs = listener.next_link_++;
        dialler.links_.emplace(link, end{&listener, theirs, false});
        listener.links_.emplace(theirs, end{&dialler, link, true});
        if (!dialler.once_connected_.insert(link).second) ++dialler.stats_.reconnects;
        dialler.queue({event::kind::connected, link, nullptr});
        listener.queue({event::kind::connected, theirs, nullptr});
    }

    static void part(memory_node& node, link_id link) {
        const end l = node.links_.at(link);
        node.links_.erase(link);
        l.peer->links_.erase(l.theirs);
        node.queue({event::kind::disconnected, link, nullptr});
        l.peer->queue({event::kind::disconnected, l.theirs, nullptr});
    }
};

memory_network::memory_network(memory_network_options options) : state_(std::make_shared<state>(options)) {}

std::unique_ptr<transport> memory_network::make(std::string name, const std::vector<std::string>& peers,
                                                std::optional<peer_key> key) {
    return std::make_unique<memory_node>(state_, std::move(name), peers, key);
}

} // namespace joinery
