// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a node keeps, encrypted with a key of its owner's: the storage below sees nothing of what is written but how
// much, when, and in how many collections, and the node's id.
//
//     options.storage = joinery::encrypted_storage(joinery::sqlite_storage("eu.db"),
//                                                  joinery::storage_key::from_file("/run/keys/eu"));
//
// XChaCha20-Poly1305 with random nonces (libsodium). Each ciphertext is bound to its storage, its collection and its
// place: a record to the one before it, and the first to the snapshot, and the list of snapshots to the id. So nothing
// can be exchanged, moved, left out in the middle or taken from an older copy of the same file. That the end of it, or
// the whole file, is replaced by what it was once can only be noticed by peers, as with any storage; nor is it
// protected that a file was closed, or is a copy. The format is in docs/wire_format.md.
//
// In the library joinery-sodium.

#include <joinery/storage.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace joinery {

/// How dear it is to try passphrases (Argon2id).
struct passphrase_cost {
    std::uint64_t passes = 3;
    std::uint64_t memory = std::uint64_t{256} << 20; ///< bytes; it is taken while a storage is opened
};

/// 32 random bytes, or a passphrase. Wiped from memory when it is destroyed.
class storage_key {
public:
    static constexpr std::size_t size = 32;

    static storage_key from_bytes(std::span<const std::byte, size> bytes);
    /// Of a file that has these bytes and nothing else. Throws storage_error, also if anybody but the file's owner may
    /// read or write it.
    static storage_key from_file(const std::string& path);
    /// The salt is each storage's own, and stored in it with the cost. Throws storage_error if libsodium cannot work
    /// with that cost.
    static storage_key from_passphrase(std::string_view passphrase, passphrase_cost cost = {});

    storage_key(const storage_key&);
    storage_key& operator=(const storage_key&);
    ~storage_key();

private:
    friend class storage_cipher;
    storage_key(std::span<const std::byte> secret, bool passphrase, passphrase_cost cost);

    std::vector<std::byte> secret_;
    bool passphrase_ = false;
    passphrase_cost cost_;
};

/// A storage in which all that is written is encrypted. `inner` must be new or have been made by this, and nothing was
/// called yet. Throws storage_error, and leaves it as it was, if the key is wrong, it is not encrypted or anything in
/// it is not as it was written.
///
/// As durable as `inner`; a backup is encrypted with the same key. A record takes 40 bytes more, a collection 100 more.
/// The key is 32 bytes of memory that may be swapped out. One at a time.
std::unique_ptr<storage> encrypted_storage(std::unique_ptr<storage> inner, const storage_key& key);

/// Another key, or passphrase, opens it from now on; O(collections). What is stored is encrypted with a key that is
/// stored itself, encrypted with yours: whoever has the old key and an old copy of the file can read what is written
/// later, too. Against that make a new file (`joinery recover`). Requires: as of encrypted_storage, and that `inner`
/// was closed cleanly. Throws storage_error.
void change_key(std::unique_ptr<storage> inner, const storage_key& from, const storage_key& to);

/// True for what an encrypted storage has stored.
bool is_encrypted(const stored_node& stored);

/// Something that does not verify.
struct encrypted_damage {
    std::size_t collection = 0; ///< its number
    bool snapshot = false;      ///< the snapshot; else the record of that number and all that follow
    std::size_t record = 0;
    std::string what;
};

/// What is in it, as its node sees it. What cannot be verified is left out and added to `damage`; without that it
/// throws storage_error, as it does for a wrong key. Collections have the places that they are stored at; those of
/// which not even the name is known have none, and damage of their own.
stored_node decrypted(const stored_node& stored, const storage_key& key,
                      std::vector<encrypted_damage>* damage = nullptr);

} // namespace joinery
