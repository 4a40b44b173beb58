// SPDX-License-Identifier: Apache-2.0
// What is sent and saved of documents.
#include "cereal_archives.hpp"
#include "document_node.hpp"
#include "documents.hpp"

#include <joinery/or_map.hpp>
#include <joinery/record.hpp>

#include <limits>
#include <string>
#include <string_view>
#include <vector>

using namespace documents;

TEST_CASE("document: parts that a later version adds are kept and passed on") {
    replica<document> a{id_a}, b{id_b};
    auto d = a.edit(importing(R"({"l": [{"x": 1}]})"));
    auto& l = std::get<4>(d.fragment.get().make().fields).make().items.front().value;
    auto& element = std::get<1>(std::get<5>(l.fields).make().fields).items.front().value;
    element.unknown.emplace_back(9, joinery::opaque_fragment{{}, {std::byte{1}}});
    const auto received = joinery::decode<joinery::delta<document>>(joinery::encode(d));
    REQUIRE(received);
    b.join(*received);
    CHECK(b->to_json() == a->to_json());
    const auto kept = joinery::decode<joinery::causal<document>>(joinery::encode(b.state()));
    REQUIRE(kept);
    replica<document> c{id_c};
    c.join(*kept);
    CHECK(c->to_json() == a->to_json());
    REQUIRE(c.state().whole().unknown.size() == 1);
    CHECK(c.state().whole().unknown.front().content.bytes.size() == 1);
}

TEST_CASE("document: saved and read by all archives, to any depth that can be written") {
    replica<document> r{id_a};
    document::path lists, maps{"m"};
    r.edit([&](document& d, transaction& tx) {
        while (maps.steps().size() < document::max_depth) maps = maps / "m";
        d.set(tx, maps, "deep");
        d.make_list(tx, {"l"});
        lists = {"l"};
        while (lists.steps().size() < document::max_depth - 1) {
            d.push_back(tx, lists, kind::list);
            lists = lists / 0;
        }
        d.push_back(tx, lists, "deep");
    });
    CHECK(r->get(maps) == "deep");
    CHECK(r->get(lists / 0) == "deep");
    check_converged(r);
    const auto whole = r.state().whole();
    CHECK(through_json(whole) == whole);
    CHECK(through_portable_binary(whole) == whole);
    using around = joinery::or_map<std::string, joinery::or_map<std::string, document>>;
    replica<around> outer{id_b};
    outer.edit([&](around& m, transaction& tx) {
        auto inner = m.at(tx, "a");
        auto d = inner->at(tx, "b");
        d->set(tx, maps, 1);
    });
    check_converged(outer);
}

TEST_CASE("document: what no replica writes is refused") {
    using joinery::decode_error;
    using node = joinery::record_fragment<joinery::detail::document_node>;
    const auto refused = [](const node& root) {
        joinery::delta<document> d;
        d.covered.add(joinery::dot{id_a, 1});
        d.fragment.get().make() = root;
        const auto back = joinery::decode<joinery::delta<document>>(joinery::encode(d));
        return back ? std::string_view("nothing") : to_string(back.error());
    };
    node leaf;
    std::get<0>(leaf.fields).push_back({id_a, 1}, {kind::map});
    const auto above = [](const std::string& key, const node& below) {
        node n;
        std::get<4>(n.fields).make().items.push_back({key, below});
        return n;
    };
    CHECK(refused(leaf) == "nothing");
    node deep = leaf;
    for (std::size_t i = 0; i < document::max_depth; ++i) deep = above("", deep);
    CHECK(refused(deep) == "nothing");
    CHECK(refused(above("", deep)) == "nested too deeply");
    CHECK(refused(above("", node())) == "non-canonical form");
    CHECK(refused(above("\xff", leaf)) == "invalid value");
    node twice = above("x", leaf);
    std::get<4>(twice.fields).make().items.push_back({"x", leaf});
    CHECK(refused(twice) == "non-canonical form");
    node unknown_kind;
    std::get<0>(unknown_kind.fields).push_back({id_a, 1}, {kind::value});
    CHECK(refused(unknown_kind) == "invalid value");
    const auto refuses = [](const document::scalar& wrong, decode_error why) {
        std::vector<std::byte> bytes;
        joinery::compact_output_archive ar(bytes);
        ar(cereal::make_nvp("value", wrong.get()));
        const auto back = joinery::decode<document::scalar>(bytes);
        REQUIRE_FALSE(back);
        CHECK(back.error() == why);
    };
    refuses("\xff", decode_error::invalid_value);
    CHECK(joinery::decode<document::scalar>(joinery::encode(document::scalar(-0.0))) == document::scalar(-0.0));
    CHECK_FALSE(document::scalar(-0.0) == document::scalar(0.0));
    CHECK(document::scalar(7u) == document::scalar(7));
    CHECK_FALSE(document::scalar(7) == document::scalar(7.0));
    std::vector<std::byte> endless;
    joinery::compact_output_archive{endless}(document::scalar::variant(std::numeric_limits<double>::infinity()));
    CHECK_FALSE(joinery::decode<document::scalar>(endless));
    std::vector<std::byte> small;
    joinery::compact_output_archive{small}(document::scalar::variant(std::uint64_t{7})); // an int64 would do
    CHECK_FALSE(joinery::decode<document::scalar>(small));
}
