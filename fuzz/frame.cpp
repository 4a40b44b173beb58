// SPDX-License-Identifier: Apache-2.0
// Framed bytes as they come, and what is read of them without knowing a type: a byte says as what the others are read.
// What is accepted is what is written.
#include "../sync/answers.hpp"
#include "../sync/stored_items.hpp"
#include "allocation_meter.hpp"
#include "framing.hpp"

#include <joinery/delta.hpp>
#include <joinery/messages.hpp>

#include <cstring>

using namespace joinery;
using fuzz::bytes;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

bool same(std::span<const std::byte> a, std::span<const std::byte> b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

void frame(std::span<const std::byte> in) {
    const auto f = open_frame(in);
    fuzz::tally(in);
    if (!f) {
        require(!to_string(f.error()).empty());
        require(!open_stored(in, frame_kind::record, 1, 2));
        return;
    }
    frame_writer w;
    w.body().insert(w.body().end(), f->body.begin(), f->body.end());
    require(same(w.close(f->kind, f->collection, f->fingerprint), in));
    for (const auto kind : {frame_kind::direct, frame_kind::broadcast, frame_kind::snapshot, frame_kind::record}) {
        const auto body = open_stored(in, kind, f->collection, f->fingerprint);
        require(body.has_value() == (kind == f->kind));
    }
    require(!open_stored(in, f->kind, f->collection + 1, f->fingerprint));
}

void answer(std::span<const std::byte> in) {
    const auto parts = parts_of(in);
    if (!parts) return;
    bytes again;
    begin_answer(again, parts->horizon);
    require(again.size() == parts->header);
    for (const auto delta : parts->deltas) put_item(again, delta);
    if (again.size() == in.size()) require(same(again, in));
}

void items(std::span<const std::byte> in) {
    compact_input_archive ar(in);
    bytes again;
    try {
        while (ar.remaining() > 0) {
            const auto item = read_item(ar);
            switch (item.is) {
            case stored_item::kind::delta: put_item(again, item.bytes); break;
            case stored_item::kind::answer: put_answer(again, item.bytes); break;
            case stored_item::kind::mark: put_mark(again, item.held_after); break;
            }
        }
    } catch (const decode_failure&) {
        return;
    }
    require(same(again, in));
}

void heads(std::span<const std::byte> in) {
    const auto dots = edit_dots(in);
    const auto covered = coverage_of(in);
    if (dots && covered) require(*covered == causal_context{*dots});
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto in = std::as_bytes(std::span(data + 1, size - 1));
    fuzz::allocation_meter meter;
    switch (data[0] % 4) {
    case 0: frame(in); break;
    case 1: answer(in); break;
    case 2: items(in); break;
    default: heads(in);
    }
    require(meter.peak() <= 64 * size + 64 * 1024);
    return 0;
}
