// SPDX-License-Identifier: Apache-2.0
#include <joinery/keys.hpp>

#include <zmq.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace joinery {

namespace {

constexpr std::string_view first_line = "joinery key pair 1";
constexpr std::size_t longest_file = 4096;

/// Memory that is overwritten when it goes.
template <std::size_t Size> struct secret_text {
    std::array<char, Size> bytes{};
    secret_text() = default;
    secret_text(const secret_text&) = delete;
    secret_text& operator=(const secret_text&) = delete;
    ~secret_text() { ::explicit_bzero(bytes.data(), bytes.size()); }
};
using z85_key = secret_text<41>; // with the zero at its end

struct descriptor {
    int fd;
    explicit descriptor(int d) : fd(d) {}
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() {
        if (fd >= 0) ::close(fd);
    }
};

[[noreturn]] void no_curve() { throw std::runtime_error("keys: this libzmq was built without CURVE"); }

std::runtime_error refused(const std::string& path, const std::string& reason) {
    return std::runtime_error("keys: " + path + ": " + reason);
}
std::runtime_error failed(const char* what, const std::string& path) {
    return refused(path, std::string(what) + ": " + std::generic_category().message(errno));
}

void write_all(int fd, std::string_view text, const std::string& path) {
    while (!text.empty()) {
        const ssize_t n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno != EINTR) throw failed("write", path);
        if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::fsync(fd) != 0) throw failed("fsync", path);
}

// So that the name of a new file is on the disk, too.
void sync_folder(const std::string& path) {
    auto folder = std::filesystem::path(path).parent_path();
    if (folder.empty()) folder = ".";
    const descriptor d(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (d.fd < 0 || ::fsync(d.fd) != 0) throw failed("fsync of its folder", path);
}

std::string_view take_line(std::string_view& text) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
}

constexpr std::array<std::string_view, 2> names{"public ", "secret "};

/// One of the two halves, as a line gives it.
struct half {
    bool known = false;
    secret_text<key_pair::secret_size> key;

    /// False unless it is 64 hexadecimal digits.
    bool read(std::string_view digits) {
        if (digits.size() != 2 * key.bytes.size() ||
            digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
            return false;
        for (std::size_t i = 0; i < key.bytes.size(); ++i) {
            std::uint8_t value = 0;
            std::from_chars(digits.data() + 2 * i, digits.data() + 2 * i + 2, value, 16);
            key.bytes[i] = static_cast<char>(value);
        }
        return known = true;
    }
    std::span<const std::byte, key_pair::secret_size> bytes() const { return std::as_bytes(std::span(key.bytes)); }
};

} // namespace

key_pair::key_pair(std::span<const std::byte, secret_size> secret) {
    std::copy(secret.begin(), secret.end(), secret_.begin());
    z85_key text;
    std::array<char, 41> shown{};
    if (!zmq_z85_encode(text.bytes.data(), reinterpret_cast<const std::uint8_t*>(secret_.data()), secret_size) ||
        zmq_curve_public(shown.data(), text.bytes.data()) != 0)
        no_curve();
    zmq_z85_decode(reinterpret_cast<std::uint8_t*>(public_.bytes.data()), shown.data());
}

key_pair::~key_pair() { ::explicit_bzero(secret_.data(), secret_.size()); }

key_pair key_pair::generate() {
    std::array<char, 41> shown{};
    z85_key text;
    if (zmq_curve_keypair(shown.data(), text.bytes.data()) != 0) no_curve();
    secret_text<secret_size> secret;
    zmq_z85_decode(reinterpret_cast<std::uint8_t*>(secret.bytes.data()), text.bytes.data());
    return key_pair(std::as_bytes(std::span(secret.bytes)));
}

void save_keys(const key_pair& keys, const std::string& path) {
    const descriptor d(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (d.fd < 0) throw failed("create", path);
    try {
        constexpr std::string_view digits = "0123456789abcdef";
        secret_text<2 * key_pair::secret_size + 1> secret;
        auto at = secret.bytes.begin();
        for (const auto b : keys.secret_half()) {
            *at++ = digits[std::to_integer<std::size_t>(b) >> 4];
            *at++ = digits[std::to_integer<std::size_t>(b) & 15];
        }
        *at = '\n';
        write_all(d.fd,
                  std::string(first_line) + "\n# Whoever has the secret half can pass for this node.\npublic " +
                      to_string(keys.public_half()) + "\nsecret ",
                  path);
        write_all(d.fd, {secret.bytes.data(), secret.bytes.size()}, path);
        sync_folder(path);
    } catch (...) {
        ::unlink(path.c_str());
        throw;
    }
}

key_pair load_keys(const std::string& path) {
    const descriptor d(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)); // a pipe is not waited for
    if (d.fd < 0) throw failed("open", path);
    struct stat about {};
    if (::fstat(d.fd, &about) != 0) throw failed("stat", path);
    if (!S_ISREG(about.st_mode)) throw refused(path, "not a regular file");
    if (about.st_uid != ::geteuid() && about.st_uid != 0)
        throw refused(path,
                      "it belongs to another user, who may use it; chown it, or make new keys if somebody may have");
    if ((about.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        throw refused(path, "others than its owner may use it; chmod 600, or make new keys if somebody may have");

    secret_text<longest_file> contents;
    std::size_t size = 0;
    while (size < contents.bytes.size()) {
        const ssize_t n = ::read(d.fd, contents.bytes.data() + size, contents.bytes.size() - size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw failed("read", path);
        if (n == 0) break;
        size += static_cast<std::size_t>(n);
    }
    std::string_view text(contents.bytes.data(), size);
    if (size == contents.bytes.size() || take_line(text) != first_line)
        throw refused(path, "does not begin with \"" + std::string(first_line) + "\"");
    std::array<half, 2> halves;
    while (!text.empty()) {
        const auto line = take_line(text);
        if (line.empty() || line.starts_with('#')) continue;
        const std::size_t which = line.starts_with(names[0]) ? 0 : 1;
        if (!line.starts_with(names[which]) || halves[which].known ||
            !halves[which].read(line.substr(names[which].size())))
            throw refused(path,
                          "has a line that is not the one \"public\" or the one \"secret\" with 64 hexadecimal digits");
    }
    const auto& [shown, secret] = halves;
    if (!shown.known || !secret.known) throw refused(path, "lacks a half of the pair");
    key_pair keys(secret.bytes());
    if (!std::ranges::equal(keys.public_half().bytes, shown.bytes()))
        throw refused(path, "its public half is not that of its secret half");
    return keys;
}

} // namespace joinery
