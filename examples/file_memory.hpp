// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reading and writing the files that people edit, and remembering what was in them.

#include <map>
#include <optional>
#include <string>

/// The whole of a regular file. Throws app::command_error with the system's reason.
std::string read_file(const std::string& path);
/// All of it or nothing: a new file takes the place of the old one. Throws app::command_error.
void write_file(const std::string& path, const std::string& content);

/// Which note a file belongs to, and which text it had when it was last imported or exported. For this
/// leader alone: it is not replicated.
class file_memory {
public:
    struct entry {
        std::string note;
        std::string text;
    };

    /// Kept in `folder`, or in memory if it is empty.
    explicit file_memory(std::string folder) : folder_(std::move(folder)) {}

    std::optional<entry> find(const std::string& path) const;
    void remember(const std::string& path, const entry& e);

private:
    std::string folder_;
    std::map<std::string, entry> entries_; // by absolute path; unused with a folder
};
