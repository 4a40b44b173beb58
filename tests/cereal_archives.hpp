// SPDX-License-Identifier: Apache-2.0
#pragma once

// Rounds through the archives that Cereal brings: JSON and portable binary.

#include <cereal/archives/json.hpp>
#include <cereal/archives/portable_binary.hpp>

#include <sstream>

/// The value after writing and reading it.
template <class Out, class In, class X> X through(const X& x) {
    std::stringstream stream;
    {
        Out out(stream);
        out(cereal::make_nvp("x", x));
    }
    X back{};
    In in(stream);
    in(cereal::make_nvp("x", back));
    return back;
}
template <class X> X through_json(const X& x) {
    return through<cereal::JSONOutputArchive, cereal::JSONInputArchive>(x);
}
template <class X> X through_portable_binary(const X& x) {
    return through<cereal::PortableBinaryOutputArchive, cereal::PortableBinaryInputArchive>(x);
}
