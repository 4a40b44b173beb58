// SPDX-License-Identifier: Apache-2.0
#pragma once

// The key pair that a node proves itself with (zmq_options::keys), and the file that holds one. In the library
// joinery-zmq.
//
//     joinery::save_keys(joinery::key_pair::generate(), "eu.key"); // once; or `joinery keygen eu.key`
//     options.keys = joinery::load_keys("eu.key");
//
// The file is text:
//
//     joinery key pair 1
//     public <64 hexadecimal digits>
//     secret <64 hexadecimal digits>
//
// Empty lines and those that begin with '#' say nothing. Whoever can read the file can pass for the node, so only its
// owner may; there is no password. Back it up like one, or make new keys: see "Keys" in docs/operations.md.

#include <joinery/peer_key.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <string>

namespace joinery {

/// A key pair of Curve25519. Each copy of the secret half is overwritten when its owner goes.
class key_pair {
public:
    static constexpr std::size_t secret_size = 32;

    /// From the system's randomness. Throws std::runtime_error if this libzmq has no CURVE.
    static key_pair generate();
    /// The pair that a secret half belongs to. Throws std::runtime_error if this libzmq has no CURVE.
    explicit key_pair(std::span<const std::byte, secret_size> secret);
    key_pair(const key_pair&) = default;
    key_pair& operator=(const key_pair&) = default;
    ~key_pair();

    const peer_key& public_half() const { return public_; }
    std::span<const std::byte, secret_size> secret_half() const { return secret_; }

private:
    peer_key public_;
    std::array<std::byte, secret_size> secret_{};
};

/// Writes a new file, which only its owner may read (mode 0600), and sees it on the disk. Throws std::runtime_error, in
/// one line with the system's reason; also if there is such a file, which is left as it is.
void save_keys(const key_pair& keys, const std::string& path);
/// Throws std::runtime_error, in one line: without such a file, if others than its owner may read or write it, and for
/// contents that `save_keys` would not have written.
key_pair load_keys(const std::string& path);

} // namespace joinery
