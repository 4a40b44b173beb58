// SPDX-License-Identifier: Apache-2.0
#pragma once

// Aggregates of CRDTs are CRDTs: a plain struct whose members are CRDTs is declared once, after its
// definition and in its namespace, and can then be replicated, nested, encoded and tested.
//
//     struct cart {
//         joinery::or_map<std::string, joinery::pn_counter> items;
//         joinery::lww_register<std::string> coupon;
//     };
//     JOINERY_RECORD(cart, (1, items), (2, coupon))
//
// Each field has a tag, a number from 1 that never changes and is never used again; tags ascend. Fields
// can be added and removed, and leaders of different versions can run together.

#include <joinery/crdt.hpp>
#include <joinery/replica.hpp>

#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

namespace joinery {

/// One field of a record.
template <std::uint32_t Tag, auto Member> struct record_field {
    static constexpr std::uint32_t tag = Tag;
    static constexpr auto member = Member;
    const char* name;
};

namespace detail {
template <class S, class M> M member_type(M S::*);
template <class F> using field_type = decltype(member_type(F::member));
template <class... F> constexpr bool tags_ascend() {
    std::uint32_t before = 0;
    bool ok = true;
    ((ok = ok && F::tag > before, before = F::tag), ...);
    return ok;
}
} // namespace detail

template <class... Fields> struct record_fields {
    static_assert(detail::tags_ascend<Fields...>(), "the tags of a record are positive and ascend");
    static_assert((checked_crdt<detail::field_type<Fields>>() && ...), "the members of a record are CRDTs");
    std::tuple<Fields...> all;
    using fragments = std::tuple<fragment_of<detail::field_type<Fields>>...>;
    static constexpr std::size_t size = sizeof...(Fields);
};
template <class... Fields> constexpr record_fields<Fields...> make_record_fields(Fields... f) { return {{f...}}; }

/// A struct that has been declared by JOINERY_RECORD.
template <class T>
concept record = requires(const T* t) {
    joinery_record_of(t).all;
};

namespace detail {
// Calls f(field, index constant) for each field of T.
template <record T, class F> constexpr void for_each_field(F&& f) {
    constexpr auto fields = joinery_record_of(static_cast<const T*>(nullptr));
    [&]<std::size_t... I>(std::index_sequence<I...>) {
        (f(std::get<I>(fields.all), std::integral_constant<std::size_t, I>()), ...);
    }
    (std::make_index_sequence<fields.size>());
}
} // namespace detail

/// What a delta carries of a record: the fragments of those fields that it changes.
template <record T> struct record_fragment {
    typename decltype(joinery_record_of(static_cast<const T*>(nullptr)))::fragments fields;
    /// Fields of a later version by tag, ascending, as they came.
    std::vector<std::pair<std::uint32_t, opaque_fragment>> unknown;

    bool empty() const {
        return unknown.empty() && std::apply([](const auto&... f) { return (f.empty() && ...); }, fields);
    }
    friend bool operator==(const record_fragment&, const record_fragment&) = default;

    template <class Archive> void save(Archive& ar) const;
    template <class Archive> void load(Archive& ar);
};

template <record T> struct crdt_traits<T> {
    static constexpr bool is_crdt = true;
    using fragment = record_fragment<T>;

    template <class Fields> struct any_tombstones;
    template <class... F> struct any_tombstones<record_fields<F...>> {
        static constexpr bool value = (crdt_traits<detail::field_type<F>>::leaves_tombstones || ...);
    };
    static constexpr bool leaves_tombstones =
        any_tombstones<decltype(joinery_record_of(static_cast<const T*>(nullptr)))>::value;

    template <class Fields> struct any_reissues;
    template <class... F> struct any_reissues<record_fields<F...>> {
        static constexpr bool value = (crdt_traits<detail::field_type<F>>::reissues || ...);
    };
    static constexpr bool reissues = any_reissues<decltype(joinery_record_of(static_cast<const T*>(nullptr)))>::value;

    template <class Fields> struct any_tidies;
    template <class... F> struct any_tidies<record_fields<F...>> {
        static constexpr bool value = (crdt_traits<detail::field_type<F>>::tidies || ...);
    };
    static constexpr bool tidies = any_tidies<decltype(joinery_record_of(static_cast<const T*>(nullptr)))>::value;

    // Runs f(traits, member, fragment) for each field; G is fragment or const fragment.
    template <class R, class G, class F> static void each(R& t, G& g, F&& f) {
        detail::for_each_field<T>([&](auto field, auto i) {
            f(crdt_traits<detail::field_type<decltype(field)>>(), t.*field.member, std::get<i>(g.fields));
        });
    }
    // Runs f(traits, member) for each field.
    template <class R, class F> static void each(R& t, F&& f) {
        detail::for_each_field<T>(
            [&](auto field, auto) { f(crdt_traits<detail::field_type<decltype(field)>>(), t.*field.member); });
    }

    static void extract(const T& t, const causal_context& wanted, fragment& out) {
        each(t, out, [&](auto traits, auto& m, auto& f) { traits.extract(m, wanted, f); });
    }
    static void extract_edit(T& t, const causal_context& wanted, fragment& out) {
        each(t, out, [&](auto traits, auto& m, auto& f) { traits.extract_edit(m, wanted, f); });
    }
    static void extract_rest(const T& t, fragment& out) {
        each(t, out, [&](auto traits, auto& m, auto& f) { traits.extract_rest(m, f); });
    }
    static constexpr bool saves_whole = !leaves_tombstones;
    template <class Emit>
    static void save_whole(const T& t, const causal_context& seen, Emit&& emit) requires(!leaves_tombstones) {
        if (vacant(t)) return;
        emit([&](compact_output_archive& ar) {
            ar.counted([&] {
                std::size_t n = 0;
                detail::for_each_field<T>([&](auto field, auto) {
                    using traits = crdt_traits<detail::field_type<decltype(field)>>;
                    traits::save_whole(t.*field.member, seen, [&](auto&& save) {
                        ar.varint(std::uint64_t{2} * field.tag);
                        ar.section(save);
                        ++n;
                    });
                });
                return n;
            });
        });
    }
    static void join(T& t, const fragment& f, join_scope& s) {
        noting(t, s, {}, [&] {
            detail::for_each_field<T>([&](auto field, auto i) {
                using traits = crdt_traits<detail::field_type<decltype(field)>>;
                const auto& part = std::get<i>(f.fields);
                if (!s.overlapping && part.empty()) return;
                in_field(field, s, [&](join_scope& below) { traits::join(t.*field.member, part, below); });
            });
            for (const auto& [tag, content] : f.unknown)
                if (!join_field(t, tag, content, s) && s.unknown)
                    keep_unknown(*s.unknown, s.path, tag, s.covered, content);
        });
    }
    static bool place(T& t, compact_input_archive& path, const unknown_field& field, join_scope& s) {
        bool known = false;
        noting(t, s, {}, [&] {
            std::uint64_t tag = path.varint();
            if (path.remaining() == 0) return void(known = join_field(t, tag, field.content, s));
            detail::for_each_field<T>([&](auto f, auto) {
                if (f.tag != tag) return;
                using traits = crdt_traits<detail::field_type<decltype(f)>>;
                in_field(f, s, [&](join_scope& below) { known = traits::place(t.*f.member, path, field, below); });
            });
        });
        return known;
    }
    template <class Killed> static void kill(T& t, const Killed& killed, join_scope& s) {
        causal_context dots;
        if constexpr (std::is_same_v<Killed, dot_range>) dots.add(killed);
        noting(t, s, dots, [&] {
            detail::for_each_field<T>([&](auto field, auto) {
                using traits = crdt_traits<detail::field_type<decltype(field)>>;
                in_field(field, s, [&](join_scope& below) { traits::kill(t.*field.member, killed, below); });
            });
        });
    }
    static void clear(T& t, transaction& tx, kills& out) {
        each(t, [&](auto traits, auto& m) { traits.clear(m, tx, out); });
    }
    static bool empty(const T& t) {
        bool all = true;
        each(t, [&](auto traits, auto& m) { all = all && traits.empty(m); });
        return all;
    }
    static bool vacant(const T& t) {
        bool all = true;
        each(t, [&](auto traits, auto& m) { all = all && traits.vacant(m); });
        return all;
    }
    static void prune(T& t, const version_vector& stable, std::span<const dot_range> settled, dot_sink* sink) {
        each(t, [&](auto traits, auto& m) { traits.prune(m, stable, settled, sink); });
    }
    static void keep_live(fragment& f) {
        detail::for_each_field<T>([&](auto field, auto i) {
            crdt_traits<detail::field_type<decltype(field)>>::keep_live(std::get<i>(f.fields));
        });
    }
    static void known_removed(const T& t, const causal_context& dots, causal_context& out) {
        each(t, [&](auto traits, auto& m) { traits.known_removed(m, dots, out); });
    }
    static bool untidy(const T& t, const version_vector& stable) {
        bool any = false;
        each(t, [&](auto traits, auto& m) { any = any || traits.untidy(m, stable); });
        return any;
    }
    static void tidy(T& t, transaction& tx, const version_vector& stable, kills& out) {
        each(t, [&](auto traits, auto& m) { traits.tidy(m, tx, stable, out); });
    }
    static void drop_reissued(fragment& f, const causal_context& unsent) {
        detail::for_each_field<T>([&](auto field, auto i) {
            crdt_traits<detail::field_type<decltype(field)>>::drop_reissued(std::get<i>(f.fields), unsent);
        });
    }
    static void reissue(T& t, const T& before, const causal_context& unsent, const removal_log& log, transaction& tx) {
        detail::for_each_field<T>([&](auto field, auto) {
            crdt_traits<detail::field_type<decltype(field)>>::reissue(t.*field.member, before.*field.member, unsent,
                                                                      log, tx);
        });
    }
    static bool equal(const T& a, const T& b) {
        bool all = true;
        detail::for_each_field<T>([&](auto field, auto) {
            using traits = crdt_traits<detail::field_type<decltype(field)>>;
            all = all && traits::equal(a.*field.member, b.*field.member);
        });
        return all;
    }
    static std::uint64_t digest(const T& t, const causal_context& all) {
        std::uint64_t sum = 0;
        detail::for_each_field<T>([&](auto field, auto) {
            using traits = crdt_traits<detail::field_type<decltype(field)>>;
            if (!traits::empty(t.*field.member)) sum += combine(field.tag, traits::digest(t.*field.member, all));
        });
        return sum;
    }
    static std::string type_name() { return "record"; }

private:
    static constexpr bool seen_as_one = requires { T::told_apart(0u); };

    // Runs f(scope) with the scope of a field.
    template <class Field, class F> static void in_field(Field field, join_scope& s, F&& f) {
        const path_step step{s.path, field.name, [](compact_output_archive& ar, const void*) { ar.varint(Field::tag); },
                             [](const void* what) { return shown_value(std::string(static_cast<const char*>(what))); },
                             !seen_as_one};
        join_scope below = s.inside(step);
        if constexpr (seen_as_one)
            if (!T::told_apart(Field::tag)) below.changes = nullptr;
        f(below);
    }
    // Makes a change that is part of a join, which kills these dots.
    template <class Change> static void noting(T& t, join_scope& s, const causal_context& killed, Change&& change) {
        if constexpr (requires { t.observed(); }) {
            if (!s.changes) return change();
            bool killing = false;
            if (!killed.empty())
                detail::for_each_field<T>([&](auto field, auto) {
                    killing = killing || (!T::told_apart(field.tag) && detail::holds(t.*field.member, killed));
                });
            detail::note_observed(t, s, *s.changes, killing, std::forward<Change>(change));
        } else {
            change();
        }
    }
    // Joins a kept field into the member that has its tag; false if there is none.
    static bool join_field(T& t, std::uint64_t tag, const opaque_fragment& content, join_scope& s) {
        bool known = false;
        detail::for_each_field<T>([&](auto field, auto) {
            if (field.tag != tag) return;
            using traits = crdt_traits<detail::field_type<decltype(field)>>;
            known = true;
            typename traits::fragment f;
            if (!content.read(f)) return; // no version of the field wrote this
            in_field(field, s, [&](join_scope& below) { traits::join(t.*field.member, f, below); });
        });
        return known;
    }
};

// ---- implementation ----

// The number of fields, then for each twice its tag and its fragment as a section of its own. A field that
// this version does not know is passed on as 1 + twice its tag and the section with the dots it builds on.
template <record T> template <class Archive> void record_fragment<T>::save(Archive& ar) const {
    if constexpr (is_compact_archive_v<Archive>) {
        std::uint64_t n = unknown.size();
        std::apply([&](const auto&... f) { ((n += f.empty() ? 0 : 1), ...); }, fields);
        ar.varint(n);
        detail::for_each_field<T>([&](auto field, auto i) {
            const auto& f = std::get<i>(fields);
            if (f.empty()) return;
            ar.varint(std::uint64_t{2} * field.tag);
            ar.section([&](auto& inner) { inner(f); });
        });
        for (const auto& [tag, content] : unknown) {
            ar.varint(std::uint64_t{2} * tag + 1);
            ar(content);
        }
    } else {
        detail::for_each_field<T>([&](auto field, auto i) { ar(cereal::make_nvp(field.name, std::get<i>(fields))); });
    }
}

template <record T> template <class Archive> void record_fragment<T>::load(Archive& ar) {
    if constexpr (is_compact_archive_v<Archive>) {
        std::uint64_t before = 0;
        for (std::size_t n = ar.count(); n > 0; --n) {
            std::uint64_t code = ar.varint();
            std::uint64_t tag = code / 2;
            if (tag == 0 || tag > UINT32_MAX) ar.fail(decode_error::invalid_value);
            if (code & 1) {
                charge_unknown(ar);
                unknown.emplace_back(static_cast<std::uint32_t>(tag), opaque_fragment{});
                ar(unknown.back().second);
                continue;
            }
            if (tag <= before) ar.fail(decode_error::non_canonical);
            before = tag;
            bool known = false;
            detail::for_each_field<T>([&](auto field, auto i) {
                if (field.tag != tag) return;
                known = true;
                auto& f = std::get<i>(fields);
                ar.section([&](auto& inner) { inner.below(max_tag_size, [&] { inner(f); }); });
                if (f.empty()) ar.fail(decode_error::non_canonical);
            });
            if (known) continue;
            auto bytes = ar.raw(ar.varint());
            charge_unknown(ar);
            ar.charge(2 * bytes.size());
            unknown.emplace_back(static_cast<std::uint32_t>(tag),
                                 opaque_fragment{ar.named(), {bytes.begin(), bytes.end()}});
        }
    } else {
        detail::for_each_field<T>([&](auto field, auto i) { ar(cereal::make_nvp(field.name, std::get<i>(fields))); });
    }
}

} // namespace joinery

// JOINERY_RECORD(type, (tag, member), ...): the macro expands over the fields by rescanning.
#define JOINERY_DETAIL_PARENS ()
#define JOINERY_DETAIL_EXPAND(...) JOINERY_DETAIL_EXPAND3(JOINERY_DETAIL_EXPAND3(JOINERY_DETAIL_EXPAND3(__VA_ARGS__)))
#define JOINERY_DETAIL_EXPAND3(...) JOINERY_DETAIL_EXPAND2(JOINERY_DETAIL_EXPAND2(JOINERY_DETAIL_EXPAND2(__VA_ARGS__)))
#define JOINERY_DETAIL_EXPAND2(...) JOINERY_DETAIL_EXPAND1(JOINERY_DETAIL_EXPAND1(JOINERY_DETAIL_EXPAND1(__VA_ARGS__)))
#define JOINERY_DETAIL_EXPAND1(...) __VA_ARGS__
#define JOINERY_DETAIL_FIELD(type, tag, member)                                                                        \
    ::joinery::record_field<tag, &type::member> { #member }
#define JOINERY_DETAIL_CALL(macro, ...) macro(__VA_ARGS__)
#define JOINERY_DETAIL_STRIP(...) __VA_ARGS__
#define JOINERY_DETAIL_EACH(type, field, ...)                                                                          \
    JOINERY_DETAIL_CALL(JOINERY_DETAIL_FIELD, type, JOINERY_DETAIL_STRIP field)                                        \
    __VA_OPT__(, JOINERY_DETAIL_AGAIN JOINERY_DETAIL_PARENS(type, __VA_ARGS__))
#define JOINERY_DETAIL_AGAIN() JOINERY_DETAIL_EACH

/// Declares a struct as a record; see the top of this file. Up to 27 fields.
#define JOINERY_RECORD(type, ...)                                                                                      \
    [[maybe_unused]] constexpr auto joinery_record_of(const type*) {                                                   \
        return ::joinery::make_record_fields(JOINERY_DETAIL_EXPAND(JOINERY_DETAIL_EACH(type, __VA_ARGS__)));           \
    }
