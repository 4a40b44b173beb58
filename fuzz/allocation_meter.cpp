// SPDX-License-Identifier: Apache-2.0
#include "allocation_meter.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>

namespace {

// What precedes each block; as large as the strictest fundamental alignment.
struct alignas(std::max_align_t) header {
    std::size_t size;
};

constexpr std::size_t never = std::numeric_limits<std::size_t>::max();

thread_local bool metered = false;
thread_local std::int64_t in_use = 0; // below 0 if what was allocated before is freed
thread_local std::int64_t greatest = 0;
thread_local std::size_t until_failure = never;
thread_local bool has_failed = false;

// The block begins `room` bytes after what malloc gives, and what precedes it stands right before it.
void* allocate(std::size_t size, std::size_t room = sizeof(header)) {
    if (metered && until_failure != never && until_failure-- == 0) {
        until_failure = never;
        has_failed = true;
        throw std::bad_alloc();
    }
    if (size > never - 2 * room) throw std::bad_alloc();
    const bool strict = room > sizeof(header);
    auto* bytes = static_cast<std::byte*>(strict ? std::aligned_alloc(room, (size + 2 * room - 1) / room * room)
                                                 : std::malloc(room + size));
    if (!bytes) throw std::bad_alloc();
    auto* block = reinterpret_cast<header*>(bytes + room) - 1;
    block->size = size;
    if (metered) {
        in_use += static_cast<std::int64_t>(size);
        greatest = std::max(greatest, in_use);
    }
    return block + 1;
}

void release(void* p, std::size_t room = sizeof(header)) noexcept {
    if (!p) return;
    if (metered) in_use -= static_cast<std::int64_t>((static_cast<header*>(p) - 1)->size);
    std::free(static_cast<std::byte*>(p) - room);
}

std::size_t room_of(std::align_val_t alignment) {
    return std::max(sizeof(header), static_cast<std::size_t>(alignment));
}

} // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* p) noexcept { release(p); }
void operator delete[](void* p) noexcept { release(p); }
void operator delete(void* p, std::size_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t) noexcept { release(p); }

void* operator new(std::size_t size, std::align_val_t a) { return allocate(size, room_of(a)); }
void operator delete(void* p, std::align_val_t a) noexcept { release(p, room_of(a)); }
void operator delete(void* p, std::size_t, std::align_val_t a) noexcept { release(p, room_of(a)); }

void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    try {
        return allocate(size);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}
void* operator new[](std::size_t size, const std::nothrow_t& tag) noexcept { return operator new(size, tag); }
void operator delete(void* p, const std::nothrow_t&) noexcept { release(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { release(p); }

namespace joinery::fuzz {

allocation_meter::allocation_meter() {
    metered = true;
    in_use = 0;
    greatest = 0;
    until_failure = never;
    has_failed = false;
}
allocation_meter::~allocation_meter() { metered = false; }
std::size_t allocation_meter::peak() const { return static_cast<std::size_t>(greatest); }
void allocation_meter::fail_at(std::size_t n) { until_failure = n; }
bool allocation_meter::failed() const { return has_failed; }

} // namespace joinery::fuzz
