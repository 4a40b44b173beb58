// SPDX-License-Identifier: Apache-2.0
#include <joinery/type_name.hpp>

#include <joinery/joinery.hpp>

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace {
enum class colour : std::uint8_t { red };
struct plain {
    template <class Archive> void serialize(Archive&) {}
};
struct named {
    static std::string type_name() { return "shop.price"; }
};

namespace earlier {
struct cart {
    joinery::or_set<std::string> items;
};
JOINERY_RECORD(cart, (1, items))
} // namespace earlier
namespace later {
struct cart {
    joinery::or_set<std::string> items;
    joinery::lww_register<std::string> note;
};
JOINERY_RECORD(cart, (1, items), (2, note))
} // namespace later

template <class T> std::string name() { return joinery::type_name<T>::get(); }
} // namespace

TEST_CASE("type_name: numbers by their size, the same with every compiler") {
    CHECK(name<bool>() == "bool");
    CHECK(name<std::uint8_t>() == "u8");
    CHECK(name<std::int64_t>() == "i64");
    CHECK(name<unsigned long>() == "u64");
    CHECK(name<unsigned long long>() == "u64");
    CHECK(name<float>() == "f32");
    CHECK(name<double>() == "f64");
    CHECK(name<colour>() == "enum:u8");
}

TEST_CASE("type_name: containers by what they hold") {
    CHECK(name<std::vector<std::string>>() == "vector<string>");
    CHECK(name<std::array<int, 3>>() == "array3<i32>");
    CHECK(name<std::map<std::string, std::optional<int>>>() == "map<string,optional<i32>>");
    CHECK(name<std::set<std::pair<int, bool>>>() == "set<tuple<i32,bool>>");
    CHECK(name<std::variant<int, std::string>>() == "variant<i32,string>");
    CHECK(name<std::tuple<>>() == "tuple<>");
    CHECK(name<std::unordered_map<int, std::unordered_set<int>>>() == "unordered_map<i32,unordered_set<i32>>");
}

TEST_CASE("type_name: a user's type says its name, or is just a value") {
    CHECK(name<named>() == "shop.price");
    CHECK(name<plain>() == "value");
}

TEST_CASE("fingerprint: differs by structure, but not by a record's fields") {
    using namespace joinery;
    CHECK(fingerprint<or_set<std::string>>() != fingerprint<or_set<std::uint32_t>>());
    CHECK(fingerprint<g_counter>() != fingerprint<pn_counter>());
    CHECK(fingerprint<rga_list<std::string>>() == joinery::digest(std::string_view("rga_list<string>")));
    CHECK(fingerprint<or_map<std::string, g_counter>>() != fingerprint<or_map<std::string, pn_counter>>());
    CHECK(fingerprint<or_map<std::string, earlier::cart>>() == fingerprint<or_map<std::string, later::cart>>());
    CHECK(crdt_traits<or_map<std::uint32_t, or_set<std::string>>>::type_name() == "or_map<u32,or_set<string>>");
    CHECK(fingerprint<lww_register<std::string>>() == joinery::digest(std::string_view("lww_register<string>")));
}
