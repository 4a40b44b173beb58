// SPDX-License-Identifier: Apache-2.0
#include "file_image.hpp"

#include "stored_file.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <tuple>

namespace joinery::tool {

namespace {

constexpr int attempts = 20;

class open_file {
public:
    // Errors name it as it was given.
    open_file(const std::string& path, const std::string& given)
        : path_(given), handle_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {
        if (handle_ < 0) fail(errno);
    }
    ~open_file() { ::close(handle_); }
    open_file(const open_file&) = delete;
    open_file& operator=(const open_file&) = delete;

    int handle() const { return handle_; }
    struct stat status() const {
        struct stat s {};
        if (::fstat(handle_, &s) != 0) fail(errno);
        if (!S_ISREG(s.st_mode)) throw tool_error(fmt::format("{}: not a regular file", path_));
        return s;
    }
    std::vector<unsigned char> bytes(std::size_t size) const {
        std::vector<unsigned char> all(size);
        std::size_t n = 0;
        while (n < size) {
            const auto got = ::pread(handle_, all.data() + n, size - n, static_cast<off_t>(n));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) fail(errno);
            if (got == 0) break; // it was cut meanwhile
            n += static_cast<std::size_t>(got);
        }
        all.resize(n);
        return all;
    }

private:
    std::string path_;
    int handle_;
    [[noreturn]] void fail(int error) const {
        throw tool_error(fmt::format("{}: {}", path_, std::generic_category().message(error)));
    }
};

// SQLite's locks are those of POSIX on the bytes from 2^30 on.
std::optional<std::int64_t> owner_of(const open_file& f) {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = 0x40000000;
    lock.l_len = 512;
    if (::fcntl(f.handle(), F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return std::nullopt;
    return std::max<std::int64_t>(lock.l_pid, 0);
}

// What changes with every write to the file, and with every use of the WAL anew.
auto moment_of(const open_file& f, const std::vector<unsigned char>& wal) {
    const auto s = f.status();
    return std::tuple(
        s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec, s.st_ctim.tv_sec, s.st_ctim.tv_nsec,
        std::vector<unsigned char>(wal.begin(), wal.begin() + std::min<std::ptrdiff_t>(32, std::ssize(wal))));
}

std::vector<unsigned char> read_wal(const std::string& path, std::size_t most) {
    if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) return {};
    const open_file f(path, path);
    return f.bytes(std::min(most, static_cast<std::size_t>(f.status().st_size)));
}

} // namespace

file_image read_image(const std::string& given) {
    if (given.empty()) throw tool_error("the name of the file is empty");
    std::error_code none;
    auto real = std::filesystem::canonical(given, none); // SQLite's own files lie beside what a link leads to
    const std::string path = none ? given : real.string();
    const open_file main(path, given);
    file_image image;
    image.path = path;
    for (int i = 0; i < attempts; ++i) {
        image.owner = owner_of(main);
        const auto before = moment_of(main, read_wal(path + "-wal", 32));
        image.main = main.bytes(static_cast<std::size_t>(main.status().st_size));
        image.wal = read_wal(path + "-wal", SIZE_MAX);
        image.has_wal = std::filesystem::exists(path + "-wal", none);
        if (before != moment_of(main, image.wal) || before != moment_of(main, read_wal(path + "-wal", 32))) continue;
        const auto journal = std::filesystem::file_size(path + "-journal", none);
        image.journal = !none && journal > 0;
        return image;
    }
    throw tool_error(fmt::format("{}: it changes while it is read; try again", given));
}

} // namespace joinery::tool
