// SPDX-License-Identifier: Apache-2.0
#include <joinery/or_set.hpp>

#include <doctest/doctest.h>

#include <fstream>
#include <sstream>
#include <string>

namespace {

// The bytes of the block of hex in docs/wire_format.md: two digits each, up to the words of a line.
std::vector<std::byte> worked_example() {
    std::ifstream page(JOINERY_SOURCE_ROOT "/docs/wire_format.md");
    REQUIRE(page);
    std::vector<std::byte> bytes;
    bool inside = false;
    for (std::string line; std::getline(page, line);) {
        if (line == "```hex") {
            inside = true;
        } else if (line == "```") {
            inside = false;
        } else if (inside) {
            std::istringstream words(line);
            for (std::string word;
                 words >> word && word.size() == 2 && word.find_first_not_of("0123456789abcdef") == std::string::npos;)
                bytes.push_back(static_cast<std::byte>(std::stoi(word, nullptr, 16)));
        }
    }
    return bytes;
}

} // namespace

TEST_CASE("wire format: the worked example of the documentation is what is written") {
    using set = joinery::or_set<std::string>;
    joinery::replica<set> a5{joinery::replica_id{0xa5}};
    joinery::replica<set> e0{joinery::replica_id{0xe0}};
    e0.join(a5.edit([](set& s, joinery::transaction& tx) { s.add(tx, "milk"); }));
    auto d = e0.edit([](set& s, joinery::transaction& tx) {
        s.add(tx, "tea");
        s.remove(tx, "milk");
    });
    auto example = worked_example();
    CHECK(joinery::encode(d) == example);
    auto read = joinery::decode<joinery::delta<set>>(example);
    REQUIRE(read);
    CHECK(*read == d);
    CHECK(a5.join(*read));
    CHECK(a5.state() == e0.state());
    CHECK(a5->contains("tea"));
}
