// SPDX-License-Identifier: Apache-2.0
#include "answers.hpp"

#include <joinery/rights.hpp>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace joinery::chaos {

namespace {

using namespace std::chrono_literals;

// ---- what each board can do, and what it shows ----

void apply(set_board& b, transaction& tx, const request& r, list& takes) {
    if (r.action == "add") return b.members.add(tx, r.number);
    if (r.action != "remove") throw std::invalid_argument("set: " + r.action);
    std::vector<std::uint64_t> all(b.members.begin(), b.members.end());
    if (all.empty()) return;
    std::sort(all.begin(), all.end());
    const auto which = all[static_cast<std::size_t>(r.fraction(0) * static_cast<double>(all.size()))];
    takes.add(which);
    b.members.remove(tx, which);
}
void show(const set_board& b, list& out) {
    std::vector<std::uint64_t> all(b.members.begin(), b.members.end());
    std::sort(all.begin(), all.end());
    for (const auto n : all) out.add(n);
}

void apply(counter_board& b, transaction& tx, const request& r, list&) {
    if (r.action != "count") throw std::invalid_argument("counter: " + r.action);
    const auto n = r.integer(0);
    n < 0 ? b.sum.decrement(tx, -n) : b.sum.increment(tx, n);
}
void show(const counter_board& b, list& out) { out.add(std::to_string(b.sum.value())); }

std::vector<std::uint64_t> values(const lww_register<std::uint64_t>& r) { return r.siblings(); }
std::vector<std::uint64_t> values(const mv_register<std::uint64_t>& r) { return r.values(); }

template <class Map>
void write(Map& registers, transaction& tx, const std::string& key, std::optional<std::uint64_t> value, list& takes) {
    if (const auto* there = registers.find(key))
        for (const auto n : values(*there)) takes.add(n);
    if (value)
        registers.at(tx, key)->set(tx, *value);
    else
        registers.erase(tx, key);
}
void apply(register_board& b, transaction& tx, const request& r, list& takes) {
    if (r.action == "last-set") return write(b.last, tx, r.word(0), r.number, takes);
    if (r.action == "last-erase") return write(b.last, tx, r.word(0), {}, takes);
    if (r.action == "all-set") return write(b.all, tx, r.word(0), r.number, takes);
    if (r.action == "all-erase") return write(b.all, tx, r.word(0), {}, takes);
    throw std::invalid_argument("registers: " + r.action);
}
template <class Map> void show(const Map& registers, const char* kind, list& out) {
    std::vector<std::string> lines; // the winner of a last-writer-wins register first
    for (const auto& [key, r] : registers)
        for (const auto n : values(r)) lines.push_back(kind + (':' + key) + ':' + std::to_string(n));
    std::stable_sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) {
        return std::string_view(a).substr(0, a.rfind(':')) < std::string_view(b).substr(0, b.rfind(':'));
    });
    for (const auto& l : lines) out.add(l);
}
void show(const register_board& b, list& out) {
    show(b.last, "last", out);
    show(b.all, "all", out);
}

void apply(bank_board& b, transaction& tx, const request& r, list&) {
    const auto n = static_cast<std::uint64_t>(r.integer(1));
    auto account = [&](std::size_t i, auto&& f) { b.accounts.update(tx, r.word(i), f); };
    if (r.action == "deposit") {
        account(0, [&](bounded_counter& c) { c.increment(tx, n); });
    } else if (r.action == "withdraw") {
        account(0, [&](bounded_counter& c) { c.decrement(tx, n); });
    } else if (r.action == "move") { // what was taken comes back if the other half fails
        account(2, [&](bounded_counter& c) { c.increment(tx, n); });
        account(0, [&](bounded_counter& c) { c.decrement(tx, n); });
    } else if (r.action == "pass") {
        account(0, [&](bounded_counter& c) { c.transfer(tx, replica_id{std::stoull(r.word(2), nullptr, 16)}, n); });
    } else {
        throw std::invalid_argument("bank: " + r.action);
    }
}
void show(const bank_board& b, list& out) {
    std::vector<std::string> lines;
    for (const auto& [name, c] : b.accounts) lines.push_back(name + ':' + std::to_string(c.value()));
    std::sort(lines.begin(), lines.end());
    for (const auto& l : lines) out.add(l);
}

// Every character is inserted once: eight of them belong to each operation.
constexpr std::uint32_t first_character = 0x10000;

std::string utf8(std::uint32_t c) {
    const std::uint32_t bytes[] = {0xf0 | c >> 18, 0x80 | (c >> 12 & 0x3f), 0x80 | (c >> 6 & 0x3f), 0x80 | (c & 0x3f)};
    std::string out;
    for (const auto b : bytes) out += static_cast<char>(b);
    return out;
}
void list_characters(const std::string& text, list& out) {
    for (std::size_t i = 0; i + 3 < text.size(); i += 4) {
        const auto bits = [&](std::size_t k) { return static_cast<std::uint32_t>(text[i + k] & 0x3f); };
        out.add(((bits(0) & 7) << 18 | bits(1) << 12 | bits(2) << 6 | bits(3)) - first_character);
    }
}
template <class Board>
    requires requires(Board& b) { b.text; }
void apply(Board& b, transaction& tx, const request& r, list& takes) {
    const auto size = b.text.size();
    const auto at = static_cast<std::size_t>(r.fraction(0) * static_cast<double>(size));
    const auto n = static_cast<std::uint64_t>(r.integer(1));
    if (r.action == "insert") {
        std::string run;
        for (std::uint64_t i = 0; i < std::min<std::uint64_t>(n, 8); ++i)
            run += utf8(static_cast<std::uint32_t>(first_character + r.number * 8 + i));
        b.text.insert(tx, at, run);
    } else if (r.action == "erase") {
        const auto length = std::min<std::uint64_t>(n, size - at);
        list_characters(b.text.substr(at, length), takes);
        if (length > 0) b.text.erase(tx, at, length);
    } else {
        throw std::invalid_argument("text: " + r.action);
    }
}
template <class Board>
    requires requires(Board& b) { b.text; }
void show(const Board& b, list& out) { list_characters(b.text.str(), out); }

// ---- boards ----

template <class T> class board : public workload {
public:
    explicit board(leader<T> at) : leader_(std::move(at)) {}

    const std::string& name() const override { return leader_.name(); }
    std::uint64_t digest() const override {
        return leader_.read([](const causal<T>& s) { return s.digest(); });
    }

    std::string perform(const request& r, const std::function<void(const std::string&)>& say) override {
        bool done = false;
        try {
            return r.action == "read" ? read_board(leader_, r, look) : write(r, say, done);
        } catch (const std::exception& e) {
            return (done ? "unknown " : "failed ") + std::string(e.what());
        }
    }

protected:
    leader<T> leader_;

    virtual std::string write(const request& r, const std::function<void(const std::string&)>& say, bool& done) {
        const auto edit = [&](T& b, transaction& tx) {
            list takes;
            const auto mask = hexadecimal(b.done);
            b.done.add(tx, r.number);
            apply(b, tx, r, takes);
            say("saw " + mask + ' ' + takes.str());
            done = true;
        };
        const write_options options{.acknowledgements = r.acknowledgements, .timeout = 1500ms};
        write_result result;
        std::string after;
        if (r.session.empty()) {
            result = leader_.write(edit, options);
        } else {
            session s = read_session(r.session);
            result = s.write(leader_, edit, options);
            after = " session=" + hexadecimal(encode(s));
        }
        const auto dots = result.dots.value();
        return "ok dots=" + to_string(dots.replica) + ':' + std::to_string(dots.first) + '-' +
               std::to_string(dots.last) + " complete=" + (result.complete ? '1' : '0') +
               " acked=" + std::to_string(result.acknowledged) + after;
    }

    static std::string look(const T& b) {
        list items;
        show(b, items);
        return "ok mask=" + hexadecimal(b.done) + " value=" + items.str();
    }
};

// Some take what others have the rights of.
constexpr auto account_of = [](bank_board& b, transaction& tx, const std::string& name, auto&& f) {
    b.accounts.update(tx, name, f);
};
class bank final : public board<bank_board> {
public:
    explicit bank(const leader<bank_board>& at) : board(at), rights_(at, account_of) {}

private:
    rights_exchange<leader<bank_board>, decltype(account_of)> rights_;

    std::string write(const request& r, const std::function<void(const std::string&)>& say, bool& done) override {
        if (r.action != "draw") return board::write(r, say, done);
        const auto drawn = rights_.decrement(r.word(0), static_cast<std::uint64_t>(r.integer(1)), 500ms,
                                             [&](bank_board& b, transaction& tx) {
                                                 say("saw " + hexadecimal(b.done) + " -");
                                                 b.done.add(tx, r.number);
                                                 done = true;
                                             });
        return drawn.complete ? "ok complete=0" : "failed there are not enough rights within reach";
    }
};

} // namespace

const std::string& request::word(std::size_t i) const {
    if (i >= arguments.size()) throw std::invalid_argument(action + " needs more arguments");
    return arguments[i];
}
double request::fraction(std::size_t i) const { return std::stod(word(i)); }
std::int64_t request::integer(std::size_t i) const { return std::stoll(word(i)); }

std::string hexadecimal(const std::vector<std::byte>& bytes) {
    constexpr char digits[] = "0123456789abcdef";
    std::string out;
    for (const auto b : bytes) {
        out += digits[static_cast<unsigned>(b) >> 4];
        out += digits[static_cast<unsigned>(b) & 15];
    }
    return out;
}

std::string hexadecimal(const std::vector<std::uint64_t>& numbers) {
    std::vector<std::byte> bits(1);
    for (const auto n : numbers) {
        if (n / 8 >= bits.size()) bits.resize(n / 8 + 1);
        bits[n / 8] |= std::byte{1} << (n % 8);
    }
    return hexadecimal(bits);
}

std::string hexadecimal(const journal& numbers) {
    return hexadecimal(std::vector<std::uint64_t>(numbers.begin(), numbers.end()));
}

std::vector<std::unique_ptr<workload>> open_workloads(node& at, bool wrong_text) {
    std::vector<std::unique_ptr<workload>> all;
    all.push_back(std::make_unique<board<set_board>>(at.open<set_board>("set")));
    all.push_back(std::make_unique<board<counter_board>>(at.open<counter_board>("counter")));
    all.push_back(std::make_unique<board<register_board>>(at.open<register_board>("registers")));
    all.push_back(std::make_unique<bank>(at.open<bank_board>("bank")));
    if (wrong_text)
        all.push_back(std::make_unique<board<wrong_text_board>>(at.open<wrong_text_board>("text")));
    else
        all.push_back(std::make_unique<board<text_board>>(at.open<text_board>("text")));
    all.push_back(open_claims(at));
    return all;
}

} // namespace joinery::chaos
