// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a peer says that knows the protocol and need not be honest: whole messages, with numbers from the input, which
// answer what the node has asked on that link.

#include "../sync/answers.hpp"
#include "../sync/stored_items.hpp"
#include "engine_world.hpp"
#include "framing.hpp"

namespace joinery::fuzz {

/// A good node, as it is called now, one of the bad ones, or an id that was used before.
inline replica_id who(const world& w, input& in) {
    const auto n = in.take() % 8;
    if (n < 2) return w.nodes[n].e ? w.nodes[n].e->id() : replica_id{100 + 100 * n};
    return replica_id{n < 6 ? 5u + n : 100u * (n - 5)};
}

inline std::uint64_t sequence(input& in) {
    const auto n = in.take();
    return n == 255 ? max_sequence : n == 254 ? std::uint64_t{1} << 40 : std::max(n, 1u);
}

inline channel some_channel(input& in) {
    const auto n = in.take() % 8;
    return n < 4 ? page_channel() : n < 7 ? set_channel() : channel{7};
}

inline version_vector version(const world& w, const node& n, channel c, input& in) {
    const auto how = in.take();
    version_vector v;
    if (how & 4) v = c == set_channel() ? n.set->version() : n.doc->version();
    for (auto more = how % 4; more > 0; --more) {
        const auto id = who(w, in);
        v.set(id, sequence(in));
    }
    return v;
}

inline causal_context dots(const world& w, const node& n, channel c, input& in) {
    causal_context out(version(w, n, c, in));
    if (in.take() % 2) {
        const auto first = sequence(in);
        out.add(dot_range{who(w, in), first, std::max(first, sequence(in))});
    }
    return out;
}

/// A hello of a bad node, which answers the challenge.
inline bytes introduction(const world& w, const node& n, const overheard& heard, input& in) {
    const auto how = in.take();
    hello h;
    h.replica = replica_id{how & 1 ? 7u : 8u};
    h.nonce = how & 2 ? 70 : 80;
    h.challenge = how & 4 ? 5 : 0;
    h.echo = heard.challenge;
    h.hears = how & 8;
    h.durability = how % 3;
    for (const auto& [name, type, c] : {std::tuple("set", fingerprint<names>(), set_channel()),
                                        std::tuple("page", fingerprint<page>(), page_channel())}) {
        hello::collection item{name_digest(name), type, {}};
        if (how & 16) item.version = version(w, n, c, in);
        item.member = how & 32;
        item.group = how & 64;
        h.collections.push_back(item);
    }
    message_batch out;
    out.add(h);
    const auto frame = out.close(how & 128 ? frame_kind::broadcast : frame_kind::direct);
    return {frame.begin(), frame.end()};
}

namespace detail {

/// Edits of `who`, from its first on; and all of them as one delta.
template <class T> std::pair<bytes, bytes> forged_edits(replica_id who, input& in) {
    replica<T> r(who);
    bytes last;
    for (auto more = 1 + in.take() % 3; more > 0; --more) {
        const auto what = in.take();
        const auto d = r.edit([&](T& value, transaction& tx) {
            if constexpr (std::is_same_v<T, page>)
                edit_page(value, tx, what);
            else
                value.add(tx, std::string(1 + what % 9, 'f'));
        });
        if (!d.covered.empty()) last = encode(d);
    }
    return {last, encode(r.state().whole())};
}
inline std::pair<bytes, bytes> forged_edits(channel c, replica_id who, input& in) {
    return c == set_channel() ? forged_edits<names>(who, in) : forged_edits<page>(who, in);
}

inline void add_hello(message_batch& out, const world& w, const node& n, const overheard& heard, input& in) {
    hello h;
    h.replica = who(w, in);
    const auto how = in.take();
    h.nonce = how & 1 ? 70 : how & 2 ? w.nodes[1 - n.place].e ? w.nodes[1 - n.place].e->nonce() : 1 : 100 + how;
    h.challenge = how & 4 ? 0 : 9;
    h.echo = how & 8 ? heard.challenge : 0;
    h.hears = how & 16;
    h.complete = !(how & 32);
    h.role = static_cast<node_role>(how / 64 % 3);
    const auto flags = in.take();
    if (flags & 1) h.formers = {who(w, in), who(w, in)};
    for (unsigned i = 0; i < 2; ++i) {
        const auto c = i == 0 ? set_channel() : page_channel();
        hello::collection item{name_digest(i == 0 ? "set" : "page"),
                               i == 0 ? fingerprint<names>() : fingerprint<page>(), version(w, n, c, in)};
        if (flags & 2) item.fingerprint += 1;
        item.member = flags & 4;
        item.group = flags & 8;
        item.fallen_back = flags & 16;
        item.withholds = flags & 32;
        h.collections.push_back(item);
    }
    out.add(h);
}

inline void add_answer(message_batch& out, const world& w, const overheard& heard, input& in) {
    const auto& p = heard.pulled;
    const auto how = in.take();
    bytes answer;
    version_vector horizon;
    if (how & 1) horizon.set(who(w, in), sequence(in));
    begin_answer(answer, horizon);
    for (auto more = how / 2 % 3; more > 0; --more) {
        const auto [edit, all] = forged_edits(p.channel, who(w, in), in);
        put_item(answer, how & 8 ? edit : all);
    }
    const std::size_t cut = how & 16 ? in.take_two() % (answer.size() + 1) : answer.size();
    const std::span whole(answer);
    const auto add = [&](std::size_t offset, std::span<const std::byte> part) {
        const auto total = how & 64 ? sequence(in) + offset + part.size() : answer.size();
        if (!part.empty()) out.add(chunk{p.channel, p.request, digest(answer), offset, total, part});
    };
    if (how & 32) add(cut, whole.subspan(cut));
    add(0, whole.first(cut));
    if (!(how & 32)) add(cut, whole.subspan(cut));
}

inline void add_lie(message_batch& out, const world& w, const node& n, const overheard& heard, input& in) {
    static const bytes text(64, std::byte{'x'});
    const auto kind = in.take() % 17;
    if (kind == 0) return add_hello(out, w, n, heard, in);
    if (kind == 4) return add_answer(out, w, heard, in);
    const auto c = some_channel(in);
    switch (kind) {
    case 1:
    case 16: {
        const auto edits = forged_edits(c, who(w, in), in);
        update u{c, static_cast<assurance>(in.take() % 3), {}, edits.first};
        if (in.take() % 2) u.dependencies = version(w, n, c, in);
        if (edit_dots(u.delta)) out.add(u);
        break;
    }
    case 2: {
        beacon b{who(w, in), 70 + in.take() % 4, {}};
        beacon::collection item{c, version(w, n, c, in), in.take(), std::nullopt};
        if (in.take() % 2) item.digest = in.take();
        b.collections.push_back(item);
        out.add(b);
        break;
    }
    case 3: {
        const auto until = sequence(in);
        pull p{c, in.take() % 4, version(w, n, c, in), in.take() % 4 ? 0 : until / 2, until, in.take() % 2 == 1};
        if (p.repair) p.dots = dots(w, n, c, in);
        out.add(p);
        break;
    }
    case 5: {
        const auto until = sequence(in);
        out.add(credit{c, in.take() % 4, std::min<std::uint64_t>(in.take() * 8u, until), until});
        break;
    }
    case 6: {
        const auto reason = static_cast<refusal>(1 + in.take() % 7);
        const auto about = in.take();
        out.add(refuse{reason, about & 1 ? who(w, in).value() : name_digest("page"), heard.pulled.request,
                       about & 2 ? 70 : n.e->nonce()});
        break;
    }
    case 7: out.add(relaying{c, who(w, in), static_cast<relay_wish>(1 + in.take() % 3)}); break;
    case 8: {
        membership m{c, {}, {}};
        const auto how = in.take();
        for (auto more = how % 4; more > 0; --more) m.joined.push_back(who(w, in));
        for (auto more = how / 4 % 4; more > 0; --more) m.gone.push_back(who(w, in));
        for (auto* ids : {&m.joined, &m.gone}) {
            std::sort(ids->begin(), ids->end());
            ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
        }
        out.add(m);
        break;
    }
    case 9: {
        acknowledgements a{c, {}};
        for (auto more = 1 + in.take() % 3; more > 0; --more)
            a.entries.push_back({who(w, in), in.take(), version(w, n, c, in)});
        out.add(a);
        break;
    }
    case 10: {
        const auto how = in.take();
        out.add(presence{c, who(w, in), how & 1 ? 70u : 1 + how / 8, 1u + how / 4 % 4, sequence(in) % 3'600'000 + 1,
                         std::span(text).first(how % 5 * 16)});
        break;
    }
    case 11: {
        const auto& v = c == set_channel() ? n.set->version() : n.doc->version();
        comparison m{c, in.take(), digest(encode(v)), std::uint64_t{1} << in.take() % 4 * 4, causal_context(v)};
        if (in.take() % 4 == 0) m.dots = {dot_range{who(w, in), 1, 1 + in.take() * 4}};
        out.add(m);
        break;
    }
    case 12: {
        digests d{heard.compared.channel, heard.compared.request, {}};
        for (auto more = in.take() % 16; more > 0; --more) d.values.push_back(in.take());
        out.add(d);
        break;
    }
    case 13: out.add(receipt{c, version(w, n, c, in)}); break;
    case 14: {
        const auto how = in.take();
        out.add(joinery::request{c, who(w, in), who(w, in), how & 1 ? 70u : 1u + how / 8, sequence(in),
                                 how & 2 ? "echo" : "", std::span(text).first(how % 4 * 16)});
        break;
    }
    default: {
        const auto& a = heard.asked;
        out.add(reply{a.channel, a.origin, a.nonce == 0 ? 1 : a.nonce, a.number == 0 ? 1 : a.number,
                      std::span(text).first(in.take() % 64)});
    }
    }
}

} // namespace detail

inline bytes lie(const world& w, const node& n, const overheard& heard, input& in) {
    message_batch out;
    const auto how = in.take();
    for (auto more = 1 + how % 4; more > 0; --more) detail::add_lie(out, w, n, heard, in);
    const auto frame = out.close(how & 4 ? frame_kind::broadcast : frame_kind::direct);
    return {frame.begin(), frame.end()};
}

} // namespace joinery::fuzz
