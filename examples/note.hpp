// SPDX-License-Identifier: Apache-2.0
#pragma once

// Notes: what is replicated, and the commands that change it. Files that were imported or exported are
// remembered with the text that they had, so that a file which its owner has changed since becomes only the
// edits that the owner made, whatever others have done to the note meanwhile.

#include "app.hpp"

#include <joinery/joinery.hpp>

#include <string>
#include <vector>

struct note {
    joinery::lww_register<std::string> title;
    joinery::rga_text body;
    joinery::or_set<std::string> tags;
    joinery::lww_register<std::string> file; ///< the name, without folders, of the file it was imported from
};
JOINERY_RECORD(note, (1, title), (2, body), (3, tags), (4, file))

/// By id: twelve hexadecimal digits, drawn at random, so that no two leaders make the same.
using notes = joinery::or_map<std::string, note>;

/// Opens the collection "notes" of this node. The commands keep it. `data` is the leader's storage; what the
/// files had is kept beside it, in the folder `data` + ".files", or in memory if it is empty.
std::vector<app::command> note_commands(joinery::node& node, const std::string& data);
