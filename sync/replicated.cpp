// SPDX-License-Identifier: Apache-2.0
#include <joinery/replicated.hpp>

#include <string>

namespace joinery {

void replicated_state::throw_too_large(std::size_t bytes) const {
    throw edit_too_large("an edit inserts " + std::to_string(bytes) + " bytes of text; at most " +
                         std::to_string(most_text_) + " are possible");
}

version_vector replicated_state::take_dependencies() {
    version_vector changed;
    if (!grown_) return changed;
    grown_ = false;
    version_vector now = version();
    now.set(id(), 0); // an edit follows the ones before it anyhow
    for (const auto& [r, seq] : now)
        if (depended_[r] < seq) changed.raise(r, seq);
    depended_ = std::move(now);
    return changed;
}

} // namespace joinery
