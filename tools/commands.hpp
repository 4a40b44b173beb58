// SPDX-License-Identifier: Apache-2.0
#pragma once

// The commands. Each gives the exit code, prints to stdout, and throws tool_error, storage_error or std::exception for
// exit code 2.

#include "contents.hpp"
#include "encrypted_file.hpp"
#include "output.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace joinery::tool {

struct common_options {
    bool json = false;
    const known_types* types = nullptr;
    std::string key_file, new_key_file; ///< empty: none
};

int inspect(const std::string& file, const common_options& o);
int verify(const std::string& file, const common_options& o);
int dump(const std::string& file, const std::optional<std::string>& collection, const common_options& o);
int compact(const std::string& file, const common_options& o);
int recover(const std::string& file, const std::string& to, const common_options& o);
int compare_files(const std::string& a, const std::string& b, const common_options& o);

/// Writes a new file of keys, or reads an existing one, and prints the public half.
int keygen(const std::string& file, bool existing, const common_options& o);

struct live_options {
    std::vector<std::string> collections; ///< their names, which leaders do not send
    bool insecure = false;
    std::string identity; ///< the file with the keys of this program; empty: plaintext
    std::chrono::milliseconds timeout{10'000};
    std::chrono::milliseconds interval{1'000};
    std::uint64_t count = 0; ///< 0: until it is interrupted
};
int follow(const std::vector<std::string>& endpoints, const live_options& live, const common_options& o);
int compare_live(const std::string& a, const std::string& b, const live_options& live, const common_options& o);

} // namespace joinery::tool
