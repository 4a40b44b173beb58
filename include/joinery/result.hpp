// SPDX-License-Identifier: Apache-2.0
#pragma once

// A value or the reason why there is none. Everything that reads bytes from outside answers with a
// `result`: nothing that arrives can throw.
//
//     joinery::result<joinery::version_vector, joinery::decode_error> r = ...;
//     if (!r) report(joinery::to_string(r.error()));

#include <tl/expected.hpp>

namespace joinery {

template <class T, class E> using result = tl::expected<T, E>;
template <class E> using failure = tl::unexpected<E>;

} // namespace joinery
