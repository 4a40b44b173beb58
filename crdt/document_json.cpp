// SPDX-License-Identifier: Apache-2.0
// Documents to and from JSON (RFC 8259). RapidJSON reads and writes; it is seen here only, and under a name of our own,
// so that it cannot meet another copy of itself that was compiled with other settings (Cereal's JSON archive is one).
#include "document_node.hpp"

#define RAPIDJSON_NAMESPACE joinery::detail::rapidjson
#include <rapidjson/error/error.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/reader.h>
#include <rapidjson/stringbuffer.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace joinery {

using detail::document_node;
namespace json = detail::rapidjson;

namespace {

using kind = document::kind;

// ---- reading ----

struct tree {
    kind what = kind::value;
    document_scalar value;
    std::vector<tree> members;
    std::vector<std::string> keys; // of a map: of each member
};

// Makes a tree of what the parser says, and stops at what a document cannot hold.
class builder {
public:
    explicit builder(std::size_t depth) : depth_(depth) {}

    bool Null() { return add({}); }
    bool Bool(bool b) { return add(b); }
    bool RawNumber(const char* text, json::SizeType size, bool) {
        const char* end = text + size;
        const auto read = [&](auto& n) {
            const auto [at, error] = std::from_chars(text, end, n);
            return error == std::errc() && at == end;
        };
        if (std::find_if(text, end, [](char c) { return c == '.' || c == 'e' || c == 'E'; }) == end) {
            std::int64_t n = 0;
            std::uint64_t u = 0;
            if (read(n)) return add(n);
            if (read(u)) return add(u);
        } else {
            double x = 0;
            if (read(x)) return add(x);
        }
        return refuse("a number out of range");
    }
    bool String(const char* text, json::SizeType size, bool) {
        const std::string_view s(text, size);
        return detail::measure_utf8(s) ? add(s) : refuse("text that is not valid UTF-8");
    }
    bool Key(const char* text, json::SizeType size, bool) {
        key_.assign(text, size);
        return detail::measure_utf8(key_) || refuse("a key that is not valid UTF-8");
    }
    bool StartObject() { return open(kind::map); }
    bool StartArray() { return open(kind::list); }
    bool EndObject(json::SizeType) {
        std::vector<std::string_view> keys(open_.back()->keys.begin(), open_.back()->keys.end());
        std::sort(keys.begin(), keys.end());
        if (std::adjacent_find(keys.begin(), keys.end()) != keys.end()) return refuse("a key twice in an object");
        return close();
    }
    bool EndArray(json::SizeType) { return close(); }
    // What the parser calls with numbers that are not raw, as it does not.
    bool Int(int n) { return add(n); }
    bool Uint(unsigned n) { return add(n); }
    bool Int64(std::int64_t n) { return add(n); }
    bool Uint64(std::uint64_t n) { return add(n); }
    bool Double(double x) { return add(x); }

    const std::string& refused() const { return refused_; }
    const tree& root() const { return root_; }

private:
    std::size_t depth_;
    tree root_;
    std::vector<tree*> open_; // a member that is open is the last of its container, and so stays where it is
    std::string key_;
    std::string refused_;

    tree& next() {
        if (open_.empty()) return root_;
        auto& container = *open_.back();
        if (container.what == kind::map) container.keys.push_back(std::move(key_));
        return container.members.emplace_back();
    }
    bool add(document_scalar v) {
        if (open_.size() > depth_) return refuse("nested too deeply");
        next().value = std::move(v);
        return true;
    }
    bool open(kind k) {
        if (open_.size() > depth_) return refuse("nested too deeply");
        tree& t = next();
        t.what = k;
        open_.push_back(&t);
        return true;
    }
    bool close() {
        open_.pop_back();
        return true;
    }
    bool refuse(const char* why) {
        refused_ = why;
        return false;
    }
};

void build(transaction& tx, document_node& n, const tree& t) {
    if (t.what == kind::value) return n.value.set(tx, t.value);
    put_mark(n, tx, t.what);
    if (t.members.empty()) return;
    if (t.what == kind::map) {
        const auto map = n.map.open(tx);
        for (std::size_t i = 0; i < t.keys.size(); ++i) build(tx, *map->at(tx, t.keys[i]), t.members[i]);
        return;
    }
    const auto list = n.list.open(tx);
    const auto elements = list->insert(tx, 0, t.members.size());
    for (std::size_t i = 0; i < elements.size(); ++i) build(tx, *list->open(tx, elements[i]), t.members[i]);
}

// ---- writing ----

template <class Writer> struct printer {
    Writer& out;

    void text(std::string_view s) { out.String(s.data(), static_cast<json::SizeType>(s.size())); }
    void print(const document_scalar& v) {
        if (const auto* b = v.template get_if<bool>()) {
            out.Bool(*b);
        } else if (const auto* n = v.template get_if<std::int64_t>()) {
            out.Int64(*n);
        } else if (const auto* u = v.template get_if<std::uint64_t>()) {
            out.Uint64(*u);
        } else if (const auto* x = v.template get_if<double>()) {
            char text[40];
            char* end = std::to_chars(text, text + sizeof text, *x).ptr;
            if (std::string_view(text, end).find_first_of(".e") == std::string_view::npos) {
                *end++ = '.';
                *end++ = '0';
            }
            out.RawValue(text, static_cast<std::size_t>(end - text), json::kNumberType);
        } else if (const auto* s = v.template get_if<std::string>()) {
            text(*s);
        } else {
            out.Null();
        }
    }
    // A null pointer: nothing is there.
    void print(const document_node* n) {
        const auto kinds = n ? n->kinds() : std::vector<kind>();
        if (kinds.empty()) {
            out.Null();
            return;
        }
        switch (kinds.front()) {
        case kind::map:
            out.StartObject();
            for (const auto& [key, child] : detail::by_key(*n)) {
                text(*key);
                print(child);
            }
            out.EndObject();
            break;
        case kind::list:
            out.StartArray();
            if (const auto* list = n->list.get())
                for (const auto& e : list->all()) print(list->find(e));
            out.EndArray();
            break;
        case kind::text: text(n->text.get() ? n->text.get()->str() : std::string()); break;
        case kind::counter: out.Int64(n->counter.get() ? n->counter.get()->value() : 0); break;
        case kind::value: print(*n->value.get()); break;
        }
    }
};

template <class What> std::string printed(const What& what, unsigned indent) {
    json::StringBuffer text;
    if (indent == 0) {
        json::Writer<json::StringBuffer> out(text);
        printer<decltype(out)>{out}.print(what);
    } else {
        json::PrettyWriter<json::StringBuffer> out(text);
        out.SetIndent(' ', indent);
        printer<decltype(out)>{out}.print(what);
    }
    return {text.GetString(), text.GetSize()};
}

const char* reason(json::ParseErrorCode code, bool at_escape) {
    switch (code) {
    case json::kParseErrorDocumentEmpty: return "there is no value";
    case json::kParseErrorDocumentRootNotSingular: return "something follows the value";
    case json::kParseErrorValueInvalid: return "neither null, true, false, a number, a string, '[' nor '{'";
    case json::kParseErrorObjectMissName: return "a key is missing in an object, or is not in double quotes";
    case json::kParseErrorObjectMissColon: return "':' is missing behind a key";
    case json::kParseErrorObjectMissCommaOrCurlyBracket: return "',' or '}' is missing in an object";
    case json::kParseErrorArrayMissCommaOrSquareBracket: return "',' or ']' is missing in an array";
    case json::kParseErrorStringUnicodeEscapeInvalidHex: return "'\\u' is not followed by four hexadecimal digits";
    case json::kParseErrorStringUnicodeSurrogateInvalid: return "half a surrogate pair";
    case json::kParseErrorStringEscapeInvalid:
        if (at_escape) return "an unknown escape in a string";
        [[fallthrough]]; // as some versions of the parser have it
    case json::kParseErrorStringInvalidEncoding: return "a control character in a string, which has to be escaped";
    case json::kParseErrorStringMissQuotationMark: return "a string does not end";
    case json::kParseErrorNumberMissFraction: return "a digit is missing behind the point of a number";
    case json::kParseErrorNumberMissExponent: return "a digit is missing in the exponent of a number";
    case json::kParseErrorNumberTooBig: return "a number out of range";
    default: return "not JSON";
    }
}

json_error error_at(std::string why, std::string_view text, std::size_t byte) {
    json_error e{std::move(why), byte};
    for (const char c : text.substr(0, byte)) {
        if (c == '\n') {
            ++e.line;
            e.column = 1;
        } else if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) {
            ++e.column;
        }
    }
    return e;
}

} // namespace

std::string to_string(const json_error& e) {
    return "line " + std::to_string(e.line) + ", column " + std::to_string(e.column) + ": " + e.reason;
}

result<void, json_error> document::import_json(transaction& tx, const path& at, std::string_view text) {
    writable(at);
    const auto refused = [&](std::string why, std::size_t byte) {
        return failure<json_error>(error_at(std::move(why), text, byte));
    };
    if (text.size() > max_json) return refused("too large", max_json);
    constexpr unsigned flags = json::kParseIterativeFlag | json::kParseNumbersAsStringsFlag;
    builder made(max_depth - at.steps().size());
    json::MemoryStream stream(text.data(), text.size());
    json::EncodedInputStream<json::UTF8<>, json::MemoryStream> in(stream);
    const json::ParseResult parsed = json::Reader().Parse<flags>(in, made);
    if (parsed.IsError())
        return refused(made.refused().empty() ? std::string(reason(parsed.Code(), parsed.Offset() < text.size() &&
                                                                                      text[parsed.Offset()] == '\\'))
                                              : made.refused(),
                       parsed.Offset());
    if (in.Tell() != text.size()) return refused("a zero byte", in.Tell()); // the parser takes it for the end
    write(tx, at, [&](document_node& n) {
        kills seen;
        clear_except(n, tx, std::nullopt, seen);
        if (!seen.empty()) tx.record(tx.next(), std::move(seen));
        build(tx, n, made.root());
    });
    return {};
}

std::string document::to_json(const path& at, unsigned indent) const { return printed(find(at), indent); }

std::string document_scalar::to_json() const { return printed(*this, 0); }

} // namespace joinery
