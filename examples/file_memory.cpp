// SPDX-License-Identifier: Apache-2.0
#include "file_memory.hpp"

#include "app.hpp"

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

constexpr std::size_t greatest_file = std::size_t{64} << 20;

[[noreturn]] void fail(const std::string& operation, const std::string& path) {
    throw app::command_error(operation + " '" + path + "': " + std::generic_category().message(errno));
}

struct descriptor {
    int fd;
    ~descriptor() { close(fd); }
};

std::string absolute(const std::string& path) {
    std::error_code error;
    const auto whole = std::filesystem::weakly_canonical(path, error);
    return error ? path : whole.string();
}

// A file in the folder holds the path, the note and the text; its name is a digest of the path (FNV-1a).
std::string place_of(const std::string& folder, const std::string& whole) {
    std::uint64_t h = 0xcbf29ce484222325u;
    for (char c : whole) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return folder + '/' + std::to_string(h);
}

} // namespace

std::string read_file(const std::string& path) {
    const descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file.fd < 0) fail("read", path);
    struct stat about {};
    if (fstat(file.fd, &about) != 0) fail("read", path);
    if (!S_ISREG(about.st_mode)) throw app::command_error("read '" + path + "': not a regular file");
    std::string content;
    char part[65536];
    for (;;) {
        const ssize_t n = read(file.fd, part, sizeof part);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail("read", path);
        if (n == 0) return content;
        content.append(part, static_cast<std::size_t>(n));
        if (content.size() > greatest_file)
            throw app::command_error("read '" + path + "': greater than " + std::to_string(greatest_file >> 20) +
                                     " MiB");
    }
}

void write_file(const std::string& named, const std::string& content) {
    const std::string path = absolute(named); // the file itself, if a symbolic link was named
    std::string fresh = path + ".XXXXXX";     // beside it, so that it can be renamed
    struct stat before {};
    const bool exists = stat(path.c_str(), &before) == 0;
    if (exists && !S_ISREG(before.st_mode)) throw app::command_error("write '" + path + "': not a regular file");
    const descriptor file{mkstemp(fresh.data())};
    if (file.fd < 0) fail("write", path);
    std::size_t written = 0;
    while (written < content.size()) {
        const ssize_t n = write(file.fd, content.data() + written, content.size() - written);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            const int error = errno;
            unlink(fresh.c_str());
            errno = error;
            fail("write", path);
        }
        written += static_cast<std::size_t>(n);
    }
    if (fchmod(file.fd, exists ? before.st_mode & 07777 : 0644) != 0 || rename(fresh.c_str(), path.c_str()) != 0) {
        const int error = errno;
        unlink(fresh.c_str());
        errno = error;
        fail("write", path);
    }
}

std::optional<file_memory::entry> file_memory::find(const std::string& path) const {
    const std::string whole = absolute(path);
    if (folder_.empty()) {
        const auto e = entries_.find(whole);
        return e == entries_.end() ? std::nullopt : std::optional(e->second);
    }
    const std::string place = place_of(folder_, whole);
    if (!std::filesystem::exists(place)) return std::nullopt;
    const std::string all = read_file(place);
    const std::string head = whole + '\0';
    if (!all.starts_with(head)) return std::nullopt;
    const std::size_t end = all.find('\0', head.size());
    if (end == std::string::npos) return std::nullopt;
    return entry{all.substr(head.size(), end - head.size()), all.substr(end + 1)};
}

void file_memory::remember(const std::string& path, const entry& e) {
    const std::string whole = absolute(path);
    if (folder_.empty()) {
        entries_[whole] = e;
        return;
    }
    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    if (error) throw app::command_error("create '" + folder_ + "': " + error.message());
    write_file(place_of(folder_, whole), whole + '\0' + e.note + '\0' + e.text);
}
