// SPDX-License-Identifier: Apache-2.0
#include "stored_items.hpp"

namespace joinery {

namespace {

// What stands after the 0 in place of a length: nothing is held; a sequence number and the id's eight bytes; a string.
enum tag : std::uint64_t { none_held, held, whole_answer };

} // namespace

void put_item(std::vector<std::byte>& to, std::span<const std::byte> delta) {
    compact_output_archive ar(to);
    ar.varint(delta.size());
    ar.raw(delta.data(), delta.size());
}

void put_answer(std::vector<std::byte>& to, std::span<const std::byte> answer) {
    compact_output_archive ar(to);
    ar.varint(0);
    ar.varint(whole_answer);
    put_item(to, answer);
}

void put_mark(std::vector<std::byte>& to, std::optional<dot> held_after) {
    compact_output_archive ar(to);
    ar.varint(0);
    ar.varint(held_after ? held : none_held);
    if (!held_after) return;
    ar.varint(held_after->seq);
    for (unsigned i = 0; i < 8; ++i) ar.byte(static_cast<std::uint8_t>(held_after->replica.value() >> (8 * i)));
}

stored_item read_item(compact_input_archive& in) {
    using kind = stored_item::kind;
    if (const auto length = in.varint(); length > 0) return {kind::delta, in.raw(length), {}};
    switch (in.varint()) {
    case none_held: return {kind::mark, {}, {}};
    case held: {
        const auto seq = in.varint();
        std::uint64_t who = 0;
        for (unsigned i = 0; i < 8; ++i) who |= std::uint64_t{in.byte()} << (8 * i);
        return {kind::mark, {}, dot{replica_id{who}, seq}};
    }
    case whole_answer: return {kind::answer, in.raw(in.varint()), {}};
    default: in.fail(decode_error::invalid_value);
    }
}

} // namespace joinery
