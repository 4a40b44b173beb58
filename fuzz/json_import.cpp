// SPDX-License-Identifier: Apache-2.0
// JSON texts: what is refused changes nothing; what is imported comes out as JSON that imports to the same, on its own,
// below a path and at another replica.
#include <joinery/document.hpp>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace joinery;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

bool import(replica<document>& r, const document::path& at, std::string_view json) {
    bool done = false;
    const auto d = r.edit([&](document& doc, transaction& tx) {
        const auto outcome = doc.import_json(tx, at, json);
        done = outcome.has_value();
        require(done || (!outcome.error().reason.empty() && outcome.error().byte <= json.size()));
    });
    require(done || d.covered.empty());
    return done;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view json(reinterpret_cast<const char*>(data), size);
    replica<document> r{replica_id{1}};
    if (!import(r, {}, json)) {
        require(r->vacant() && !import(r, {"x"}, json));
        return 0;
    }
    require(r->conflicts().empty());
    const std::string out = r->to_json();
    replica<document> again{replica_id{2}};
    require(import(again, {}, r->to_json({}, 1)) && again->to_json() == out);
    replica<document> below{replica_id{3}};
    if (import(below, {"x"}, out)) require(below->to_json("/x") == out); // unless that is too deep
    again.join(r.state());
    r.join(again.state());
    require(r.state() == again.state() && r->to_json() == again->to_json());
    if (const auto back = decode<causal<document>>(encode(r.state()))) // an input of tiny parts may ask for too much
        require(*back == r.state());
    return 0;
}
