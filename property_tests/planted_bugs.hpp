// SPDX-License-Identifier: Apache-2.0
#pragma once

// Errors planted around the engine, to see that a campaign finds them (planted_bug in simulation.hpp).

#include "simulated_document.hpp"
#include "simulation.hpp"

#include <joinery/messages.hpp>
#include <joinery/replicated.hpp>
#include <joinery/storage.hpp>

#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace joinery::simulation {

/// Of a node that, when it becomes quiet, does not send the last beacon: what tells of its last edits.
class last_beacon {
public:
    void keep_back(beacon& m);

private:
    struct told {
        std::uint64_t before = 0, last = 0; // own dots
    };
    std::map<std::pair<channel, replica_id>, told> own_;
};

/// An encoded edit with other dots; empty if it is of another type.
using edit_renaming = std::vector<std::byte> (*)(std::span<const std::byte> edit, const dot_renaming& renaming);
std::vector<std::byte> renamed_document(std::span<const std::byte> edit, const dot_renaming& renaming);

/// A frame as a wrong engine would have sent it.
std::vector<std::byte> tampered_frame(planted_bug bug, std::span<const std::byte> frame, replica_id sender,
                                      bool somebody_forgot, last_beacon& last,
                                      edit_renaming renamed = renamed_document);

/// `sync` returns at once; records become durable with the next one.
std::unique_ptr<storage> lazy_storage(std::unique_ptr<storage> inner);
/// `load` leaves out the last record, and says so.
std::unique_ptr<storage> forgetful_storage(std::unique_ptr<storage> inner, bool& forgot);
/// What a wrong engine takes the document for; null if it is right about that.
std::unique_ptr<replicated_state> tampered_state(planted_bug bug, replicated<document>& inner);
std::unique_ptr<replicated_state> tampered_state(planted_bug bug, replicated<ledger>& inner);

} // namespace joinery::simulation
