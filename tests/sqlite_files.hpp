// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the tests of the SQLite storage have in common: folders and files, and how a node leaves them.

#include "scratch_folder.hpp"
#include "storage_history.hpp"

#include <joinery/storage.hpp>

#include <doctest/doctest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>

namespace storage_test {

namespace fs = std::filesystem;
using joinery::sqlite_storage;
using joinery::storage;
using joinery::storage_error;

inline std::string read_file(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::string result(static_cast<std::size_t>(fs::file_size(path)), '\0');
    in.read(result.data(), static_cast<std::streamsize>(result.size()));
    return result;
}
inline void write_file(const fs::path& path, const std::string& bytes) {
    fs::remove(path); // to truncate it would make some file systems flush it
    std::ofstream(path, std::ios::binary) << bytes;
}

/// Names and bytes of all regular files in a folder.
inline std::map<std::string, std::string> files_in(const fs::path& folder) {
    std::map<std::string, std::string> result;
    for (const auto& entry : fs::directory_iterator(folder))
        result[entry.path().filename().string()] = entry.is_regular_file() ? read_file(entry.path()) : "-";
    return result;
}

inline void sql(const std::string& path, const std::string& statements) {
    sqlite3* db = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
    char* error = nullptr;
    sqlite3_exec(db, statements.c_str(), nullptr, nullptr, &error);
    CHECK_MESSAGE(!error, error);
    sqlite3_free(error);
    sqlite3_close(db);
}

/// Runs f in a child process, which ends without any cleaning up. True if f returned true.
template <class F> bool in_child(F&& f) {
    pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        bool good = false;
        try {
            good = f();
        } catch (...) {
        }
        ::_exit(good ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// Opening must be refused for the reason given, and leave the whole folder as it was.
inline void check_refused(const scratch_folder& folder, const std::string& name, const std::string& reason) {
    CAPTURE(name);
    auto before = files_in(folder.path());
    try {
        sqlite_storage(folder / name);
        FAIL_CHECK("opened");
    } catch (const storage_error& e) {
        std::string what = e.what();
        CHECK_MESSAGE(what.find(reason) != std::string::npos, what);
        CHECK_MESSAGE(what.find(name) != std::string::npos, what);
        CHECK_MESSAGE(what.find('\n') == std::string::npos, what);
    }
    CHECK(files_in(folder.path()) == before);
}

/// A file as a node leaves it: a few collections, snapshots, records in groups of different sizes.
inline content fill(storage& s, std::uint64_t seed, int steps, bool close) {
    std::mt19937_64 random(seed);
    auto node = s.load();
    history h(s, content(node));
    if (h.now().collections.empty()) h.attach("first", 1);
    for (int i = 0; i < steps; ++i) h.step(random, 30'000);
    close ? h.close() : h.sync();
    return h.now();
}

} // namespace storage_test
