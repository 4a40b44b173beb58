// SPDX-License-Identifier: Apache-2.0
#include <joinery/metrics.hpp>

#include "valid_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <utility>

namespace joinery {

namespace {

struct counter_description {
    std::string_view counter, metric, help;
};

// The names of counters are stable, and so are those of metrics; units and directions are as Prometheus wants them.
constexpr counter_description counters[] = {
    {"answers_made", "answers_made", "Pulls of peers that were answered."},
    {"answers_refused", "answers_refused", "Pulls of peers that were refused: busy, or unknown."},
    {"beacons_received", "beacons_received", "Beacons received."},
    {"beacons_sent", "beacons_sent", "Beacons sent."},
    {"buffers_dropped", "buffers_dropped", "Times that all waiting updates were dropped, being too many."},
    {"bytes_published", "bytes_published", "Bytes of the deltas of local edits published."},
    {"chunks_received", "chunks_received", "Chunks of answers received."},
    {"chunks_sent", "chunks_sent", "Chunks of answers sent."},
    {"chunks_unwanted", "chunks_unwanted", "Chunks received that no pull waited for."},
    {"compactions", "compactions", "Logs that were replaced by a snapshot."},
    {"comparisons_answered", "comparisons_answered", "Comparisons with peers' states that were answered."},
    {"comparisons_sent", "comparisons_sent", "Comparisons of a state with a peer's that were asked for."},
    {"denials", "denials", "Messages of peers that the access policy forbids."},
    {"divergences", "divergences", "Peers with the same edits and another state: a defect."},
    {"dots_repaired", "repaired_dots", "Entries of which a peer's version took the place of what was here."},
    {"edits_published", "edits_published", "Local edits published."},
    {"frames_over_rate", "frames_over_rate", "Frames dropped because a link brought more than its rate."},
    {"frames_rejected", "frames_rejected", "Frames and messages that could not be read or were not believed."},
    {"hellos_received", "hellos_received", "Hellos received."},
    {"hellos_sent", "hellos_sent", "Hellos sent."},
    {"presence_duplicate", "presence_duplicate", "Presence messages received that were no news."},
    {"presence_expired", "presence_expired", "Replicas whose presence was not repeated in time."},
    {"presence_received", "presence_received", "Presence messages received."},
    {"presence_refused", "presence_refused", "Presence messages refused, because too much is held."},
    {"presence_relayed", "presence_relayed", "Presence messages of others passed on."},
    {"presence_sent", "presence_sent", "Presence messages of this node sent."},
    {"prunings", "prunings", "Times that what all members have seen was forgotten."},
    {"pulls_completed", "pulls_completed", "Pulls that ended with a complete answer."},
    {"pulls_failed", "pulls_failed", "Pulls that were given up."},
    {"pulls_resumed", "pulls_resumed", "Pulls that were asked for again where they had stalled."},
    {"pulls_sent", "pulls_sent", "Pulls started."},
    {"repairs", "repairs", "Times that what differed was taken from a peer."},
    {"replies_received", "replies_received", "Answers to requests received."},
    {"replies_sent", "replies_sent", "Requests answered."},
    {"requests_dropped", "requests_dropped", "Requests received that were old, doubled or too many."},
    {"requests_received", "requests_received", "Requests received that were for this node."},
    {"requests_relayed", "requests_relayed", "Requests and answers of others passed on, by receiver."},
    {"requests_sent", "requests_sent", "Requests to other leaders sent."},
    {"storage_appends", "storage_appends", "Records appended to the log."},
    {"storage_bytes_written", "storage_written_bytes", "Bytes given to the storage."},
    {"storage_compactions", "storage_compactions", "Snapshots stored."},
    {"storage_syncs", "storage_syncs", "Syncs of the storage."},
    {"transport_bytes_in", "transport_received_bytes", "Bytes of frames received."},
    {"transport_bytes_out", "transport_sent_bytes", "Bytes of frames sent."},
    {"transport_dropped", "transport_dropped_frames", "Frames that the transport could not send."},
    {"transport_frames_in", "transport_received_frames", "Frames received."},
    {"transport_frames_out", "transport_sent_frames", "Frames sent."},
    {"transport_reconnects", "transport_reconnects", "Connections that were made again."},
    {"transport_refused_handshakes", "transport_refused_handshakes",
     "Connections that ended before both sides had proved what they have to."},
    {"updates_applied", "updates_applied", "Updates joined."},
    {"updates_buffered", "updates_buffered", "Updates that had to wait for a gap or a dependency."},
    {"updates_dropped", "updates_dropped", "Waiting updates dropped, to be pulled."},
    {"updates_duplicate", "updates_duplicate", "Updates received that were there already."},
    {"updates_received", "updates_received", "Updates received."},
    {"updates_relayed", "updates_relayed", "Updates of others passed on, by receiver."},
};

using labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

class exposition {
public:
    explicit exposition(std::string_view node) : node_(node) {}

    void family(std::string_view name, std::string_view type, std::string_view help) {
        name_ = "joinery_";
        for (const char c : name) // counters of later versions have any name
            name_ += (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_';
        text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name_, help, name_, type);
    }
    void sample(labels more, std::uint64_t value) { write(more, std::to_string(value)); }
    void sample(labels more, engine_time value) {
        write(more, fmt::format("{}.{:03}", value.count() / 1000, value.count() % 1000));
    }
    std::string take() { return std::move(text_); }

private:
    std::string node_, name_, text_;

    void write(labels more, std::string_view value) {
        text_ += name_ + '{';
        label("node", node_);
        for (const auto& [key, of] : more) {
            text_ += ',';
            label(key, of);
        }
        text_ += fmt::format("}} {}\n", value);
    }
    void label(std::string_view key, std::string_view value) {
        text_ += fmt::format("{}=\"", key);
        while (!value.empty()) {
            const auto c = detail::take_code_point(value);
            if (c.value == '\n')
                text_ += "\\n";
            else if (c.value == '"' || c.value == '\\')
                text_ += fmt::format("\\{}", c.bytes);
            else
                text_ += c.bytes;
        }
        text_ += '"';
    }
};

std::string name_or_id(const std::string& name, replica_id id) { return name.empty() ? to_string(id) : name; }

void write_node(exposition& out, const node_status& s) {
    out.family("node_info", "gauge", "1; the labels say who this is.");
    out.sample({{"id", to_string(s.id)}, {"address", s.address}, {"durability", to_string(s.level)}}, 1);
    out.family("node_running", "gauge", "0 once the node's storage or transport has failed.");
    out.sample({}, std::uint64_t{s.failure.empty()});
    out.family("node_identity_conflict", "gauge", "1 while another live node has the same id and writes are refused.");
    out.sample({}, std::uint64_t{s.identity_conflict});
    out.family("node_draining", "gauge", "1 while writes are refused because the node is about to stop.");
    out.sample({}, std::uint64_t{s.draining});
    out.family("node_insecure", "gauge", "1 if frames may leave the machine in plaintext.");
    out.sample({}, std::uint64_t{s.security == link_security::insecure});
    out.family("clock_rejections_total", "counter", "Timestamps too far in the future to be adopted.");
    out.sample({}, s.clock_rejections);
    out.family("clock_greatest_skew_seconds", "gauge", "How far the furthest of them was ahead of this clock.");
    out.sample({}, engine_time(std::min<std::uint64_t>(s.greatest_skew, INT64_MAX)));
}

void write_peers(exposition& out, const node_status& s) {
    const auto each = [&](auto&& value) {
        for (const auto& p : s.peers)
            out.sample({{"peer", name_or_id(p.name, p.id)}, {"peer_id", to_string(p.id)}}, value(p));
    };
    const auto each_collection = [&](auto&& value) {
        for (const auto& p : s.peers)
            for (std::size_t c = 0; c < s.collections.size() && c < p.shares.size(); ++c)
                if (p.shares[c])
                    out.sample({{"peer", name_or_id(p.name, p.id)},
                                {"peer_id", to_string(p.id)},
                                {"collection", s.collections[c].name}},
                               value(p, c));
    };
    out.family("peer_up", "gauge", "1 if the peer is heard of.");
    each([](const peer_status& p) { return std::uint64_t{p.up}; });
    out.family("peer_links", "gauge", "Connected links to the peer.");
    each([](const peer_status& p) { return std::uint64_t{p.links}; });
    out.family("peer_silence_seconds", "gauge", "Time since the peer was last heard of.");
    each([](const peer_status& p) { return p.silence; });
    out.family("peer_rejected_frames_total", "counter", "Frames and messages of the peer that were refused.");
    each([](const peer_status& p) { return p.rejected; });
    out.family("peer_denied_total", "counter", "Messages of the peer that the access policy forbids.");
    each([](const peer_status& p) { return p.denied; });
    out.family("peer_received_bytes_total", "counter", "Bytes of frames from the peer.");
    each([](const peer_status& p) { return p.bytes_in; });
    out.family("peer_sent_bytes_total", "counter", "Bytes of frames to the peer, broadcasts included.");
    each([](const peer_status& p) { return p.bytes_out; });
    out.family("peer_behind_edits", "gauge", "Edits that are here and that the peer has not acknowledged.");
    each_collection([](const peer_status& p, std::size_t c) { return p.behind[c]; });
    out.family("peer_lag_seconds", "gauge",
               "How long the oldest edit that the peer has not acknowledged has been here.");
    each_collection([](const peer_status& p, std::size_t c) { return p.lag[c]; });
}

void write_collections(exposition& out, const node_status& s) {
    const auto each = [&](auto&& value) {
        for (const auto& c : s.collections) out.sample({{"collection", c.name}}, std::uint64_t{value(c)});
    };
    out.family("collection_edits", "gauge", "Edits that are here, of all replicas.");
    each([](const collection_status& c) {
        std::uint64_t n = 0;
        for (const auto& [r, seq] : c.version) n += seq;
        return n;
    });
    out.family("collection_stable_edits", "gauge", "Edits that every member is known to have.");
    each([](const collection_status& c) {
        std::uint64_t n = 0;
        for (const auto& [replica, last] : c.stable) n += last;
        return n;
    });
    out.family("collection_members", "gauge",
               "Nodes that must have seen an edit before what it left behind is forgotten.");
    each([](const collection_status& c) { return c.members.size(); });
    out.family("collection_held", "gauge", "1 while edits since the start wait for the peers' answers.");
    each([](const collection_status& c) { return c.held; });
    out.family("collection_writable", "gauge", "0 if the access policy, or that of peers, forbids writing here.");
    each([](const collection_status& c) { return c.writable; });
    out.family("collection_quarantined", "gauge", "Peers with edits of their own that are not taken here.");
    each([](const collection_status& c) { return c.quarantined.size(); });
    out.family("collection_pulling", "gauge", "1 while what is missing is fetched from a peer.");
    each([](const collection_status& c) { return c.pulling; });
    out.family("collection_buffered_updates", "gauge", "Updates that wait for a gap or a dependency.");
    each([](const collection_status& c) { return c.buffered_updates; });
    out.family("collection_buffered_bytes", "gauge", "Memory of the updates that wait.");
    each([](const collection_status& c) { return c.buffered_bytes; });
    out.family("collection_log_bytes", "gauge", "Bytes of the log since the last snapshot.");
    each([](const collection_status& c) { return c.log_bytes; });
    out.family("collection_snapshot_bytes", "gauge", "Bytes of the last snapshot.");
    each([](const collection_status& c) { return c.snapshot_bytes; });
    out.family("collection_present", "gauge", "Other replicas that say something of themselves for the moment.");
    each([](const collection_status& c) { return c.present; });
    out.family("siblings_seen_total", "counter", "Register values that came to stand beside a concurrent one.");
    each([](const collection_status& c) { return c.siblings_seen; });
    out.family("siblings_resolved_total", "counter", "Such values that a later write or removal superseded.");
    each([](const collection_status& c) { return c.siblings_resolved; });
}

void write_counters(exposition& out, const node_status& s) {
    for (const auto& [name, value] : s.counters) {
        const auto known = std::find_if(std::begin(counters), std::end(counters),
                                        [&, n = std::string_view(name)](const auto& c) { return c.counter == n; });
        if (known != std::end(counters))
            out.family(fmt::format("{}_total", known->metric), "counter", known->help);
        else
            out.family(name + "_total", "counter", "A counter of the engine.");
        out.sample({}, value);
    }
}

} // namespace

std::string prometheus_text(const node_status& s) {
    exposition out(name_or_id(s.name, s.id));
    write_node(out, s);
    write_peers(out, s);
    write_collections(out, s);
    write_counters(out, s);
    return out.take();
}

} // namespace joinery
