// SPDX-License-Identifier: Apache-2.0
// What people and programs write as text, and what they keep as bytes: unique ids, keys, JSON pointers, session tokens,
// anchors, and orders to a home. A byte says which; what is read is written as it came, or as it reads.
#include "../sync/valid_text.hpp"
#include "body.hpp"

#include <joinery/claims.hpp>
#include <joinery/peer_key.hpp>
#include <joinery/session.hpp>

#include <algorithm>
#include <cctype>
#include <string>

using namespace joinery;

namespace {

using fuzz::require;

void unique_ids(const std::string& text) {
    const auto id = unique_id::parse(text);
    if (!id) return;
    require(unique_id::parse(to_string(*id)) == *id, "an id is what it is written as");
    require(text.size() == to_string(*id).size(), "one form, but for letters that look alike");
    require(decode<unique_id>(encode(*id)) == *id, "it is restored");
}

void keys(std::string text) {
    const auto key = peer_key::parse(text);
    if (!key) return;
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    require(to_string(*key) == text, "a key is what it is written as");
}

void pointers(const std::string& text) {
    try {
        const document_path p(text);
        require(to_string(p) == text, "a pointer is what it is written as");
        require((text.empty() && p.steps().empty()) ||
                    p.steps().size() == static_cast<std::size_t>(std::count(text.begin(), text.end(), '/')),
                "a step for each token");
        replica<document> r(replica_id{1});
        r.edit([](document& d, transaction& tx) {
            (void)d.import_json(tx, {}, R"({"a": [1, {"b": "t"}], "": {"0": 2}})");
        });
        (void)r->contains(p);
    } catch (const std::invalid_argument&) {
        require(!text.empty(), "the root is a pointer");
    }
}

void any_text(std::string_view text) {
    std::size_t taken = 0;
    for (auto rest = text; !rest.empty();) {
        const auto before = rest.size();
        const auto c = detail::take_code_point(rest);
        require(rest.size() < before && c.value < 0x110000 && !c.bytes.empty(), "a code point takes some bytes");
        taken += before - rest.size();
    }
    require(taken == text.size(), "and all are taken");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
    const auto in = std::as_bytes(std::span(data + 1, size - 1));
    switch (data[0] % 12) {
    case 0: unique_ids(text); break;
    case 1: keys(text); break;
    case 2: pointers(text); break;
    case 3: any_text(text); break;
    case 4:
        if (auto s = fuzz::metered_decode<session>(in)) require(encode(*s).size() == in.size(), "a token has one form");
        break;
    case 5: fuzz::run_value<text_anchor>(data + 1, size - 1); break;
    case 6: fuzz::run_value<unique_id>(data + 1, size - 1); break;
    case 7:
        if (auto o = fuzz::metered_decode<detail::home_order>(in))
            require(encode(*o).size() == in.size(), "an order has one form");
        break;
    case 8:
        if (auto v = fuzz::metered_decode<detail::home_verdict>(in)) {
            require(encode(*v).size() == in.size(), "a verdict has one form");
            require(v->is() <= detail::home_verdict::kind::not_home, "and is one");
        }
        break;
    case 9: {
        replica<claims> r(replica_id{1});
        std::vector<std::byte> answer;
        try {
            r.edit([&](claims& all, transaction& tx) { answer = detail::carry_out(all, tx, "key", in); });
        } catch (const std::invalid_argument&) {
            require(r.state().context().empty(), "what cannot be read does nothing");
            break;
        }
        home_result done;
        done.status = home_status::done;
        done.answer = answer;
        require(!to_string(detail::result_of(done, "me")).empty(), "an answer can be read");
        break;
    }
    case 10: {
        home_result told;
        told.status = home_status::done;
        told.answer.assign(in.begin(), in.end());
        require(!to_string(detail::result_of(told, "me")).empty(), "any answer can be told");
        break;
    }
    default: fuzz::run_value<timestamp>(data + 1, size - 1);
    }
    return 0;
}
