// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the frames of a collection say: of any type what they cover; of a type that the tool knows also the state.

#include "stored_file.hpp"

#include <joinery/causal_context.hpp>
#include <joinery/tool.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace joinery::tool {

/// The types of a tool, which it knows by their fingerprints.
class known_types {
public:
    explicit known_types(std::vector<tool_type> also);
    /// Null if it is not known.
    const tool_type* find(std::string_view collection, std::uint64_t fingerprint) const;
    /// Also of types that are not known, if they are put together of common ones; else empty.
    std::string name(std::string_view collection, std::uint64_t fingerprint) const;

private:
    std::vector<tool_type> all_;
};

/// An encoded state or delta.
struct stored_delta {
    std::string where; ///< "snapshot", "record 3"
    std::size_t bytes = 0;
    std::uint8_t parts = 0; ///< which parts it has (detail::delta_head)
    causal_context covered;
    version_vector since;            ///< it can be joined to states of at least this version
    std::span<const std::byte> rest; ///< what follows these, beginning with the fragment, if it has one
    /// Of a record: its fields by tag, and their bytes.
    std::vector<std::pair<std::uint64_t, std::size_t>> fields;
};

/// Reads the beginning of an encoded state or delta. Throws decode_failure.
stored_delta read_delta(std::span<const std::byte> bytes, const std::string& where, version_vector* horizon = nullptr,
                        bool is_record = false);

/// Calls f for each delta in the collection's frames; they refer to its bytes. What cannot be read goes to `found`.
void for_each_delta(const file_collection& c, std::vector<damage>& found,
                    const std::function<void(const stored_delta&)>& f);

struct contents {
    const file_collection* from = nullptr;
    const tool_type* type = nullptr;
    std::string type_name;              ///< empty if it is not known
    causal_context context;             ///< all dots seen
    version_vector horizon;             ///< what the snapshot has pruned
    std::optional<dot> held;            ///< own edits after this one have not been published yet
    std::size_t deltas = 0;             ///< records may have several
    std::unique_ptr<shown_state> state; ///< of a known type, if all of it could be read
    std::vector<damage> found;
};

contents read_contents(const file_collection& c, const known_types& types);

/// The stored list of members.
struct member_list {
    std::map<std::uint64_t, std::set<replica_id>> joined; ///< by channel
    std::set<replica_id> gone;
    std::vector<damage> found;

    /// Of a collection, without those that are gone.
    std::vector<replica_id> of(const file_collection& c) const;
};
constexpr std::string_view members_name = "joinery.members";
member_list read_members(const stored_file& f);

} // namespace joinery::tool
