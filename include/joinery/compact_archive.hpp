// SPDX-License-Identifier: Apache-2.0
#pragma once

// The compact Cereal archive pair: LEB128 varints, zigzag for signed numbers, dots relative to the last
// dot of their replica, canonical forms only. Values that are equal encode to equal bytes.
//
// What is read is hostile: every count is bounded by the bytes that remain before anything is allocated;
// depth, elements and memory have budgets; a bool is 0 or 1. Bad input throws decode_failure, which
// `decode` (codec.hpp) turns into an error value; nothing else escapes it. A value nested deeper than
// `max_depth` is written, but nobody can read it.
//
// A type becomes encodable by the usual Cereal members (serialize, or save and load); the same members
// work with Cereal's JSON and portable binary archives. Not supported, on purpose: smart pointers,
// polymorphic types and class versions.

#include <joinery/causal_context.hpp>
#include <joinery/decode_error.hpp>
#include <joinery/dot.hpp>
#include <joinery/version_vector.hpp>

#include <cereal/cereal.hpp>

#include <bit>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace joinery {

class compact_output_archive;
class compact_input_archive;

template <class Archive>
inline constexpr bool is_compact_archive_v = std::is_same_v<std::remove_cv_t<Archive>, compact_output_archive> ||
                                             std::is_same_v<std::remove_cv_t<Archive>, compact_input_archive>;

/// No sequence number from outside may exceed this, so that arithmetic on dots cannot overflow.
inline constexpr std::uint64_t max_sequence = std::uint64_t{1} << 62;

namespace detail {

std::uint64_t new_hash_seed();

/// A hash of a number, or of a hash, that is different in every process: the finalizer of splitmix64, over a number
/// that nobody outside knows.
inline std::uint64_t mixed_hash(std::uint64_t x) {
    static const std::uint64_t seed = new_hash_seed();
    x += seed;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/// An immutable value that its copies share.
template <class T> class shared {
public:
    shared() = default;
    shared(T x) : value_(std::make_shared<const T>(std::move(x))) {}

    const T& operator*() const {
        static const T none{};
        return value_ ? *value_ : none;
    }
    const T* operator->() const { return &**this; }
    operator const T&() const { return **this; }
    friend bool operator==(const shared& a, const shared& b) { return a.value_ == b.value_ || *a == *b; }

private:
    std::shared_ptr<const T> value_;
};

/// The replicas that an encoding has named so far, each with the last sequence number written for it.
/// A replica costs eight bytes the first time and one afterwards.
class dot_table {
public:
    struct entry {
        replica_id replica;
        std::uint64_t last = 0;
        friend bool operator==(const entry&, const entry&) = default;
    };
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    std::size_t find(replica_id r) const;
    std::size_t add(replica_id r, std::uint64_t last = 0);
    std::size_t size() const { return entries_.size(); }
    const entry& operator[](std::size_t i) const { return entries_[i]; }
    void set_last(std::size_t i, std::uint64_t last) {
        if (section_ != 0) remember(i);
        entries_[i].last = last;
        version_ = ++versions_;
    }
    /// A copy of the entries, and whether it is there already. Entries that have not changed share one.
    const shared<std::vector<entry>>& copy();
    bool copied() const { return copy_of_ == version_; }

    /// What happens from here to `restore` is undone by it, at a cost of what it changed. Sections nest.
    struct mark {
        std::size_t size = 0;
        std::size_t undo = 0;
        std::uint64_t section = 0;
        std::uint64_t version = 0;
    };
    mark begin_section();
    void restore(const mark& m);

private:
    struct change {
        std::size_t index;
        std::uint64_t last;
        std::uint64_t section;
    };
    // Nobody outside can choose ids that collide.
    struct hasher {
        std::size_t operator()(replica_id r) const { return static_cast<std::size_t>(mixed_hash(r.value())); }
    };
    short_vector<entry, 2> entries_;
    std::unordered_map<replica_id, std::size_t, hasher> index_; // used once there are many
    std::vector<std::uint64_t> changed_in_;                     // per entry: the innermost section that has changed it
    std::vector<change> undo_;
    std::uint64_t section_ = 0; // 0: none is open
    std::uint64_t sections_ = 0;
    std::uint64_t version_ = 0; // of the entries: equal versions, equal entries
    std::uint64_t versions_ = 0;
    std::uint64_t copy_of_ = 0; // the version that was copied
    shared<std::vector<entry>> copy_;

    void remember(std::size_t i);
};

enum class varint_error : std::uint8_t { none, truncated, not_shortest };

/// Reads a number, and moves `at` behind it. Requires: `at` is not behind `end`.
inline varint_error read_varint(const std::byte*& at, const std::byte* end, std::uint64_t& n) {
    n = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (at == end) return varint_error::truncated;
        const auto b = std::to_integer<std::uint64_t>(*at++);
        if (shift == 63 && b > 1) break;
        n |= (b & 0x7f) << shift;
        if (b < 0x80) return b == 0 && shift > 0 ? varint_error::not_shortest : varint_error::none;
    }
    return varint_error::not_shortest;
}
/// Writes one, of at most ten bytes, and gives what is behind it.
inline std::byte* write_varint(std::byte* at, std::uint64_t n) {
    for (; n >= 0x80; n >>= 7) *at++ = static_cast<std::byte>(n | 0x80);
    *at++ = static_cast<std::byte>(n);
    return at;
}

/// Eight bytes, the least first.
inline std::uint64_t read_fixed(const std::byte* at) {
    std::uint64_t n = 0;
    if constexpr (std::endian::native == std::endian::little)
        std::memcpy(&n, at, sizeof n);
    else
        for (unsigned k = 0; k < 8; ++k) n |= std::to_integer<std::uint64_t>(at[k]) << (8 * k);
    return n;
}
/// Writes them, and gives what is behind.
inline std::byte* write_fixed(std::byte* at, std::uint64_t n) {
    if constexpr (std::endian::native == std::endian::little)
        std::memcpy(at, &n, sizeof n);
    else
        for (unsigned k = 0; k < 8; ++k) at[k] = static_cast<std::byte>(n >> (8 * k));
    return at + 8;
}

constexpr std::uint64_t zigzag(std::int64_t v) {
    return (static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t v) { return static_cast<std::int64_t>((v >> 1) ^ (~(v & 1) + 1)); }

} // namespace detail

/// Appends to a byte vector.
class compact_output_archive : public cereal::OutputArchive<compact_output_archive, cereal::AllowEmptyClassElision> {
public:
    explicit compact_output_archive(std::vector<std::byte>& out) : OutputArchive(this), out_(out) {}

    void byte(std::uint8_t b) { out_.push_back(static_cast<std::byte>(b)); }
    void varint(std::uint64_t v) {
        if (v < 0x80) return byte(static_cast<std::uint8_t>(v));
        std::byte bytes[10];
        out_.insert(out_.end(), bytes, detail::write_varint(bytes, v));
    }
    void raw(const void* data, std::size_t size) {
        auto p = static_cast<const std::byte*>(data);
        out_.insert(out_.end(), p, p + size);
    }
    void replica(replica_id r);
    /// A null dot (sequence 0) is one byte.
    void write(dot d);
    /// The same, a byte shorter if no replica has been named yet.
    void write_first(dot d);
    void write(const dot_range& r);
    void write(const version_vector& v);
    void write(const causal_context& c);

    std::vector<std::byte>& bytes() { return out_; }

    /// A nested encoding that can be skipped by its length and read without what follows: it starts from
    /// the dots named so far and names none for what follows.
    template <class F> void section(F&& f) {
        std::size_t start = out_.size();
        auto before = dots_.begin_section();
        f(*this);
        dots_.restore(before);
        insert_varint(start, out_.size() - start);
    }
    /// Writes the number that f returns, and behind it what f writes.
    template <class F> void counted(F&& f) {
        const std::size_t start = out_.size();
        insert_varint(start, f());
    }
    /// A part that can be compared with other parts, and be moved: it starts from no dots.
    template <class F> void isolated(F&& f) {
        auto before = std::exchange(dots_, {});
        f(*this);
        dots_ = std::move(before);
    }

private:
    std::vector<std::byte>& out_;
    detail::dot_table dots_;

    void mention(replica_id r);
    void insert_varint(std::size_t at, std::uint64_t n);
};

/// Moves the later dots of one replica to another: how edits that were never published are re-issued.
struct dot_renaming {
    replica_id from;
    std::uint64_t after = 0; ///< dots of `from` above this become `to`'s 1, 2, ...
    replica_id to;

    dot operator()(dot d) const { return d.replica == from && d.seq > after ? dot{to, d.seq - after} : d; }
    /// In order: two if the range is cut.
    short_vector<dot_range, 2> operator()(const dot_range& r) const;
};

/// Reads from a span that outlives it.
class compact_input_archive : public cereal::InputArchive<compact_input_archive, cereal::AllowEmptyClassElision> {
public:
    /// Nested values, dynamic recursion included, may be this deep.
    static constexpr unsigned max_depth = 96;
    /// Memory that an input may ask for: this many times its size, plus `memory_slack` bytes.
    static constexpr std::uint64_t memory_factor = 64;
    static constexpr std::uint64_t memory_slack = 48 * 1024;

    explicit compact_input_archive(std::span<const std::byte> in, const dot_renaming* renaming = nullptr)
        : InputArchive(this),
          in_(in),
          elements_(in.size()),
          memory_(in.size() * memory_factor + memory_slack),
          renaming_(renaming) {}

    /// A part of an encoding, read apart from it: `named` are the dots that it had named before.
    compact_input_archive(std::span<const std::byte> in, const std::vector<detail::dot_table::entry>& named);

    [[noreturn]] static void fail(decode_error e) { throw decode_failure(e); }

    std::uint8_t byte() {
        if (pos_ == in_.size()) fail(decode_error::truncated);
        return static_cast<std::uint8_t>(in_[pos_++]);
    }
    std::uint64_t varint() {
        const std::byte* at = in_.data() + pos_;
        std::uint64_t v = 0;
        const auto error = detail::read_varint(at, in_.data() + in_.size(), v);
        if (error != detail::varint_error::none)
            fail(error == detail::varint_error::truncated ? decode_error::truncated : decode_error::non_canonical);
        pos_ = static_cast<std::size_t>(at - in_.data());
        return v;
    }
    std::span<const std::byte> raw(std::uint64_t size) {
        if (size > remaining()) fail(decode_error::truncated);
        auto part = in_.subspan(pos_, static_cast<std::size_t>(size));
        pos_ += part.size();
        return part;
    }
    /// A number of elements that follow: at most the bytes that remain, and within the total budget.
    std::size_t count() {
        std::uint64_t n = varint();
        if (n > remaining()) fail(decode_error::truncated);
        if (n > elements_) fail(decode_error::too_large);
        elements_ -= n;
        return static_cast<std::size_t>(n);
    }
    /// Accounts for memory about to be allocated.
    void charge(std::uint64_t bytes) {
        if (bytes > memory_) fail(decode_error::too_large);
        memory_ -= bytes;
    }
    replica_id replica();
    dot read_dot();
    dot read_null_or_dot();
    /// What `compact_output_archive::write_first` wrote, as it was written: the renaming does not reach it.
    dot read_first_dot();
    /// In order: two if the renaming cuts the range.
    short_vector<dot_range, 2> read_ranges();
    version_vector read_version_vector();
    causal_context read_causal_context();

    /// Reads what `compact_output_archive::section` wrote; f must consume all of it.
    template <class F> void section(F&& f) {
        auto inner = raw(varint());
        auto outer = std::exchange(in_, inner);
        auto outer_pos = std::exchange(pos_, 0);
        auto before = dots_.begin_section();
        f(*this);
        if (remaining() != 0) fail(decode_error::trailing_bytes);
        dots_.restore(before);
        in_ = outer;
        pos_ = outer_pos;
    }
    /// Reads what `compact_output_archive::isolated` wrote.
    template <class F> void isolated(F&& f) {
        auto before = std::exchange(dots_, {});
        f(*this);
        dots_ = std::move(before);
    }

    /// Reads with f what stands below a key or tag that takes so many bytes.
    template <class F> void below(std::size_t bytes, F&& f) {
        path_ += bytes;
        f();
        path_ -= bytes;
    }
    /// The bytes of the keys and tags above what is being read.
    std::size_t path() const { return path_; }

    /// The renaming in force, or null: what is sorted by dot must then be sorted again.
    const dot_renaming* renaming() const { return renaming_; }
    /// Runs f with no renaming in force: who reads so renames what was read.
    template <class F> void unrenamed(F&& f) {
        const auto* renaming = std::exchange(renaming_, nullptr);
        f();
        renaming_ = renaming;
    }
    std::size_t remaining() const { return in_.size() - pos_; }
    /// The dots named so far.
    detail::shared<std::vector<detail::dot_table::entry>> named() {
        if (!dots_.copied()) charge(dots_.size() * sizeof(detail::dot_table::entry) + 64);
        return dots_.copy();
    }
    std::span<const std::byte> rest() const { return in_.subspan(pos_); }
    void enter() {
        if (++depth_ > max_depth) fail(decode_error::too_deep);
    }
    void leave() { --depth_; }

private:
    std::size_t replica_index();
    replica_id first_mention();
    std::uint64_t sequence(std::size_t index);

    std::span<const std::byte> in_;
    std::size_t pos_ = 0;
    std::uint64_t elements_;
    std::uint64_t memory_;
    unsigned depth_ = 0;
    std::size_t path_ = 0;
    detail::dot_table dots_;
    const dot_renaming* renaming_;
};

// ---- how Cereal writes and reads the building blocks ----

template <class T>
    requires std::is_arithmetic_v<T>
void CEREAL_SAVE_FUNCTION_NAME(compact_output_archive& ar, const T& v) {
    if constexpr (std::is_same_v<T, bool>) {
        ar.byte(v ? 1 : 0);
    } else if constexpr (std::is_floating_point_v<T>) {
        static_assert(sizeof(T) <= 8, "long double has no portable form");
        using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
        auto b = std::bit_cast<bits>(v);
        for (std::size_t i = 0; i < sizeof(T); ++i) ar.byte(static_cast<std::uint8_t>(b >> (8 * i)));
    } else if constexpr (sizeof(T) == 1) {
        ar.byte(static_cast<std::uint8_t>(v));
    } else if constexpr (std::is_signed_v<T>) {
        ar.varint(detail::zigzag(static_cast<std::int64_t>(v)));
    } else {
        ar.varint(static_cast<std::uint64_t>(v));
    }
}

template <class T>
    requires std::is_arithmetic_v<T>
void CEREAL_LOAD_FUNCTION_NAME(compact_input_archive& ar, T& v) {
    if constexpr (std::is_same_v<T, bool>) {
        std::uint8_t b = ar.byte();
        if (b > 1) ar.fail(decode_error::invalid_value);
        v = b == 1;
    } else if constexpr (std::is_floating_point_v<T>) {
        using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
        bits b = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i) b |= static_cast<bits>(static_cast<bits>(ar.byte()) << (8 * i));
        v = std::bit_cast<T>(b);
    } else if constexpr (sizeof(T) == 1) {
        v = static_cast<T>(ar.byte());
    } else if constexpr (std::is_signed_v<T>) {
        std::int64_t n = detail::unzigzag(ar.varint());
        if (n < std::numeric_limits<T>::min() || n > std::numeric_limits<T>::max())
            ar.fail(decode_error::invalid_value);
        v = static_cast<T>(n);
    } else {
        std::uint64_t n = ar.varint();
        if (n > std::numeric_limits<T>::max()) ar.fail(decode_error::invalid_value);
        v = static_cast<T>(n);
    }
}

template <class T> void CEREAL_SERIALIZE_FUNCTION_NAME(compact_output_archive& ar, cereal::NameValuePair<T>& t) {
    ar(t.value);
}
template <class T> void CEREAL_SERIALIZE_FUNCTION_NAME(compact_input_archive& ar, cereal::NameValuePair<T>& t) {
    ar(t.value);
}

template <class T> void CEREAL_SERIALIZE_FUNCTION_NAME(compact_output_archive& ar, cereal::SizeTag<T>& t) {
    ar.varint(static_cast<std::uint64_t>(t.size));
}
// Of containers that compact_containers.hpp does not know: the elements' size is a guess.
template <class T> void CEREAL_SERIALIZE_FUNCTION_NAME(compact_input_archive& ar, cereal::SizeTag<T>& t) {
    std::size_t n = ar.count();
    ar.charge(std::uint64_t{n} * 40);
    t.size = static_cast<std::decay_t<T>>(n);
}

template <class T> void CEREAL_SAVE_FUNCTION_NAME(compact_output_archive& ar, const cereal::BinaryData<T>& d) {
    ar.raw(d.data, static_cast<std::size_t>(d.size));
}
template <class T> void CEREAL_LOAD_FUNCTION_NAME(compact_input_archive& ar, cereal::BinaryData<T>& d) {
    auto part = ar.raw(d.size);
    if (!part.empty()) std::memcpy(d.data, part.data(), part.size());
}

// An element of a container. One without bytes of its own takes a byte, so that there are never more
// elements than bytes.
template <class T> void write_element(compact_output_archive& ar, const T& x) {
    if constexpr (std::is_empty_v<T>) ar.byte(0);
    ar(x);
}
template <class T> void read_element(compact_input_archive& ar, T& x) {
    if constexpr (std::is_empty_v<T>)
        if (ar.byte() != 0) ar.fail(decode_error::invalid_value);
    ar(x);
}

// Depth is counted for everything but numbers.
template <class T>
    requires(!std::is_arithmetic_v<T>)
void prologue(compact_input_archive& ar, const T&) { ar.enter(); }
template <class T>
    requires(!std::is_arithmetic_v<T>)
void epilogue(compact_input_archive& ar, const T&) { ar.leave(); }

} // namespace joinery

CEREAL_REGISTER_ARCHIVE(joinery::compact_output_archive)
CEREAL_REGISTER_ARCHIVE(joinery::compact_input_archive)
CEREAL_SETUP_ARCHIVE_TRAITS(joinery::compact_input_archive, joinery::compact_output_archive)
