// SPDX-License-Identifier: Apache-2.0
#pragma once

// Files of encrypted storages (joinery/encrypted_storage.hpp), with the key that --key-file names. Without libsodium
// there are none.

#include "salvage.hpp"
#include "stored_file.hpp"

#include <joinery/storage.hpp>

#include <memory>
#include <string>
#include <vector>

namespace joinery::tool {

bool is_encrypted(const stored_file& f);
bool is_encrypted(const found_node& n);

/// As read_stored; what is encrypted is decrypted, and what does not verify is damage. Throws tool_error if there is no
/// key for it, or a wrong one. `look_outside`: without a key the collections of an encrypted file are left out.
stored_file read_opened(const std::string& path, bool thorough, const std::string& key_file, bool look_outside = false);

/// The same of what could be found of a damaged file.
found_node opened(const std::string& path, found_node&& from, const std::string& key_file, std::vector<damage>& found);

/// Behind the key, if there is one.
std::unique_ptr<storage> behind(const std::string& key_file, std::unique_ptr<storage> s);

} // namespace joinery::tool
