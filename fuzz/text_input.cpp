// SPDX-License-Identifier: Apache-2.0
// Bytes that an editor, a file or a user gives: a text refuses what is not UTF-8 and changes nothing, and otherwise is
// what a string would be. Each step is a byte, and what it takes.
#include "framing.hpp"

#include <joinery/replica.hpp>
#include <joinery/rga_text.hpp>

#include <stdexcept>
#include <string>

using namespace joinery;

namespace {

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

std::size_t units(const std::u32string& s) {
    std::size_t n = 0;
    for (const auto c : s) n += c > 0xffff ? 2u : 1u;
    return n;
}

void check_utf8(const std::string& text, const std::optional<std::u32string>& points, std::size_t bad) {
    if (!points)
        return require(bad < text.size() && decode_utf8(text.substr(0, bad)).has_value(),
                       "the first bad byte ends what is good");
    for (const auto c : *points) require(c < 0x110000 && (c < 0xd800 || c > 0xdfff), "a code point");
    require(encode_utf8(*points) == text, "UTF-8 has one form");
}

class editor {
public:
    void step(fuzz::input& in) {
        const auto what = in.take();
        const auto part = in.take_part();
        const std::string text(reinterpret_cast<const char*>(part.data()), part.size());
        std::size_t bad = 0;
        const auto points = decode_utf8(text, &bad);
        check_utf8(text, points, bad);
        const auto before = plain_;
        const auto how = what % 8;
        const auto at = what / 8 * plain_.size() / 24; // now and then beyond the end
        const auto state = r_.state();
        try {
            edit(how, at, text, points.value_or(U""));
            require(points || how > 3, "what is not UTF-8 is refused");
        } catch (const std::out_of_range&) {
            plain_ = before;
            require(r_.state() == state, "what is refused changes nothing");
            require(at > before.size() || how > 3, "what is within the text is taken");
        } catch (const std::invalid_argument&) {
            plain_ = before;
            require(r_.state() == state, "what is refused changes nothing");
            require(!points || how % 4 == 1 || how % 4 == 2, "what is between characters is taken");
        }
        require(r_->str() == encode_utf8(plain_), "a text is a string");
        require(r_->size() == plain_.size() && r_->size_utf16() == units(plain_), "and as long");
    }

    void end() const {
        const auto back = decode<causal<rga_text>>(encode(r_.state()));
        require(back && *back == r_.state(), "it can be restored");
        for (std::size_t i = 0; i <= plain_.size(); i += 1 + plain_.size() / 16) {
            require(r_->from_utf8(r_->to_utf8(i)) == i && r_->from_utf16(r_->to_utf16(i)) == i, "places convert");
            require(r_->position(r_->location(i)) == i, "a line and a column are a place");
            const auto anchor = decode<text_anchor>(encode(r_->anchor(i)));
            require(anchor && r_->position(*anchor) == i, "an anchor stays");
        }
    }

private:
    replica<rga_text> r_{replica_id{1}};
    std::u32string plain_;

    void edit(unsigned how, std::size_t at, const std::string& text, const std::u32string& points) {
        r_.edit([&](rga_text& t, transaction& tx) {
            switch (how) {
            case 0: t.insert(tx, at, text); break;
            case 1: t.insert_utf8(tx, at, text); break;
            case 2: t.insert_utf16(tx, at, text); break;
            case 3: t.apply_diff(tx, text); break;
            case 4: t.erase(tx, at, text.size()); break;
            case 5: t.erase_utf8(tx, at, text.size()); break;
            case 6: t.erase_utf16(tx, at, text.size()); break;
            default: {
                const auto edits = text_diff(plain_, points);
                t.apply(tx, edits);
            }
            }
        });
        switch (how) {
        case 0: plain_.insert(at, points); break;
        case 3:
        case 7: plain_ = points; break;
        case 4: plain_.erase(at, text.size()); break;
        default: plain_ = *decode_utf8(as_bytes_would(how, at, text)); break;
        }
    }

    // The same on the UTF-8, or the UTF-16, of the string.
    std::string as_bytes_would(unsigned how, std::size_t at, const std::string& text) const {
        if (how == 2 || how == 6) {
            std::size_t first = byte_of_unit(at), last = how == 6 ? byte_of_unit(at + text.size()) : first;
            auto all = encode_utf8(plain_);
            return all.replace(first, last - first, how == 2 ? text : std::string());
        }
        auto all = encode_utf8(plain_);
        return how == 1 ? all.insert(at, text) : all.erase(at, text.size());
    }
    std::size_t byte_of_unit(std::size_t unit) const {
        std::size_t u = 0, i = 0;
        while (u < unit) u += plain_.at(i++) > 0xffff ? 2u : 1u;
        require(u == unit, "between characters");
        return encode_utf8(plain_.substr(0, i)).size();
    }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(std::as_bytes(std::span(data, size)));
    editor e;
    for (int i = 0; !in.empty() && i < 64; ++i) e.step(in);
    e.end();
    return 0;
}
