// SPDX-License-Identifier: Apache-2.0
// Whole files. The first byte says what the input is: 0 a file; 1 a file and its write-ahead log, after the file's size
// in 4 KiB pages (one byte); 2 and 3 changes, of four bytes each (three say where, one what), of a file that was
// closed, or of one that was not and its log. Whatever there is, it is refused or gives what was stored; and the
// program joinery finds what it can of it.
#include "file_image.hpp"
#include "salvage.hpp"

#include <joinery/storage.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using namespace joinery;
namespace fs = std::filesystem;

namespace {

using image = std::vector<unsigned char>;
using contents = std::vector<stored_collection>;

const std::string& folder() {
    static const std::string path = [] {
        const fs::path base = fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path();
        std::string name = (base / "joinery-fuzz-XXXXXX").string();
        if (!::mkdtemp(name.data())) std::abort();
        std::atexit([] { fs::remove_all(folder()); });
        return name;
    }();
    return path;
}

image read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    const std::vector<char> all{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    return {all.begin(), all.end()};
}
void write(const std::string& path, const image& bytes) {
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), std::ssize(bytes));
}

std::vector<std::byte> some(std::size_t size, unsigned seed) {
    std::vector<std::byte> b(size);
    for (auto& x : b) x = static_cast<std::byte>((seed = seed * 1103515245 + 12345) >> 16);
    return b;
}

struct known {
    image main, wal;
    contents all; ///< of an unclean one: with everything

    explicit known(bool close) {
        const auto path = folder() + (close ? "/closed" : "/open");
        auto s = sqlite_storage(path);
        s->load();
        s->set_id(replica_id{1});
        const auto a = s->attach("a", 1), b = s->attach("b", 2);
        s->compact(a, some(9000, 1));
        const auto log = [&](std::uint32_t n, std::size_t size, unsigned seed) {
            s->append(n, some(size, seed));
            s->sync();
        };
        for (unsigned i = 0; i < 4; ++i) log(i % 2 ? a : b, 200 + 300 * i, i);
        s->close();
        s = sqlite_storage(path);
        s->load();
        for (unsigned i = 4; i < 8; ++i) log(i % 2 ? a : b, 100 + 300 * i, i);
        if (close) s->close();
        main = read(path);
        wal = read(path + "-wal");
        s.reset();
        all = sqlite_storage(path)->load().collections;
    }
};

bool starts_with(const contents& all, const contents& some) {
    return all.size() == some.size() &&
           std::equal(all.begin(), all.end(), some.begin(), [](const auto& x, const auto& y) {
               return x.name == y.name && x.fingerprint == y.fingerprint && x.snapshot == y.snapshot &&
                      y.records.size() <= x.records.size() &&
                      std::equal(y.records.begin(), y.records.end(), x.records.begin());
           });
}

void change(image& main, image& wal, const std::uint8_t* data, std::size_t size) {
    for (std::size_t i = 0; i + 4 <= size; i += 4) {
        auto at =
            (std::size_t{data[i]} << 16 | std::size_t{data[i + 1]} << 8 | data[i + 2]) % (main.size() + wal.size());
        (at < main.size() ? main[at] : wal[at - main.size()]) ^= data[i + 3];
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const known closed(true), open(false);
    if (size == 0) return 0;
    const unsigned kind = data[0] % 4;
    const known* was = kind == 2 ? &closed : kind == 3 ? &open : nullptr;
    image main, wal;
    if (was) {
        main = was->main;
        wal = was->wal;
        change(main, wal, data + 1, size - 1);
    } else if (kind == 0) {
        main.assign(data + 1, data + size);
    } else {
        if (size < 2) return 0;
        const auto end = std::min(size, 2 + std::size_t{data[1]} * 4096);
        main.assign(data + 2, data + end);
        wal.assign(data + end, data + size);
    }
    const auto path = folder() + "/node";
    fs::remove(path + "-wal");
    fs::remove(path + "-journal");
    write(path, main);
    if (!wal.empty() || (was && kind == 3)) write(path + "-wal", wal);
    try {
        auto s = sqlite_storage(path);
        const auto node = s->load();
        // Damage to the end of a log cannot be told from an end that was never written.
        if (was && !starts_with(was->all, node.collections)) std::abort();
        if (was && kind == 2 && !starts_with(node.collections, was->all)) std::abort();
        for (const auto& c : node.collections) s->attach(c.name, c.fingerprint);
        if (!node.collections.empty()) s->append(0, some(10, 1));
        s->close();
        if (sqlite_storage(path)->load().collections.size() != node.collections.size()) std::abort();
    } catch (const storage_error&) {
        if (read(path) != main) std::abort(); // it is left as it was
    }
    tool::file_image found;
    found.main = std::move(main);
    found.wal = std::move(wal);
    tool::salvage(found);
    return 0;
}
