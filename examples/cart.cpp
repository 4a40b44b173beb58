// SPDX-License-Identifier: Apache-2.0
#include "cart.hpp"

#include "replies.hpp"

#include <cstdint>
#include <map>
#include <memory>

namespace {

class cart_desk {
public:
    explicit cart_desk(joinery::node& node) : carts_(node.open<carts>("carts")) {}

    void choose(const std::string& name) { current_ = name; }

    void add(const std::string& item, std::size_t n, std::ostream& out) {
        carts_.write([&](carts& all, joinery::transaction& tx) {
            auto c = all.at(tx, current_);
            // Two leaders that each took away the last one leave less than none: start from none again.
            const auto* there = c->items.find(item);
            if (there && there->value() < 0) c->items.erase(tx, item);
            c->items.at(tx, item)->increment(tx, n);
        });
        out << item << ": " << quantity(item) << '\n';
    }

    /// Takes `n` away, or all there is.
    void remove(const std::string& item, std::size_t n, bool all_of_it, std::ostream& out) {
        const std::int64_t there = quantity(item);
        if (there <= 0) throw app::command_error("there is no " + item + " in this cart");
        carts_.write([&](carts& all, joinery::transaction& tx) {
            auto c = all.at(tx, current_);
            const auto* counter = c->items.find(item);
            if (!counter) return;
            if (all_of_it || counter->value() <= static_cast<std::int64_t>(n))
                c->items.erase(tx, item); // an addition that is not known here yet survives
            else
                c->items.at(tx, item)->decrement(tx, n);
        });
        out << item << ": " << quantity(item) << '\n';
    }

    void set_coupon(const std::string& code, std::ostream& out) {
        carts_.write([&](carts& all, joinery::transaction& tx) { all.at(tx, current_)->coupon.set(tx, code); });
        out << "coupon: " << code << '\n';
    }
    void drop_coupon(std::ostream& out) {
        carts_.write([&](carts& all, joinery::transaction& tx) { all.at(tx, current_)->coupon.reset(tx); });
        out << "no coupon\n";
    }

    void list(std::ostream& out) const {
        const auto names = carts_.read([](const carts& all) {
            std::map<std::string, std::size_t> sizes;
            for (const auto& [name, c] : all) sizes[name] = shown(c).size();
            return sizes;
        });
        if (names.empty()) out << "no carts\n";
        for (const auto& [name, size] : names) out << name << ": " << size << (size == 1 ? " item\n" : " items\n");
    }

    void show(std::ostream& out) const {
        struct copy {
            std::map<std::string, std::int64_t> items;
            std::vector<std::string> coupons;
        };
        const auto c = carts_.read([&](const carts& all) {
            const cart* found = all.find(current_);
            return found ? copy{shown(*found), found->coupon.siblings()} : copy{};
        });
        if (c.items.empty()) out << "the cart is empty\n";
        for (const auto& [item, n] : c.items) out << n << ' ' << item << '\n';
        if (c.coupons.empty()) return;
        out << "coupon: " << c.coupons[0];
        for (std::size_t i = 1; i < c.coupons.size(); ++i)
            out << (i == 1 ? " (set at the same time: " : ", ") << c.coupons[i];
        out << (c.coupons.size() > 1 ? ")\n" : "\n");
    }

    joinery::leader<carts>& leader() { return carts_; }

private:
    joinery::leader<carts> carts_;
    std::string current_ = "cart";

    static std::map<std::string, std::int64_t> shown(const cart& c) {
        std::map<std::string, std::int64_t> out;
        for (const auto& [item, n] : c.items)
            if (n.value() > 0) out[item] = n.value();
        return out;
    }
    std::int64_t quantity(const std::string& item) const {
        return carts_.read([&](const carts& all) -> std::int64_t {
            const cart* c = all.find(current_);
            const auto* n = c ? c->items.find(item) : nullptr;
            return n ? n->value() : 0;
        });
    }
};

} // namespace

std::vector<app::command> cart_commands(joinery::node& node) {
    auto desk = std::make_shared<cart_desk>(node);
    constexpr std::size_t most = 1'000'000;
    auto amount = [](const std::string& word) {
        const std::size_t n = app::to_number(word, "QUANTITY", 1);
        if (n > most) throw app::command_error("QUANTITY: at most " + std::to_string(most));
        return n;
    };
    using app::words;
    std::vector<app::command> all{
        {"add", "ITEM [QUANTITY]", "put something into the cart", 1, 2,
         [=](words w, std::ostream& out) { desk->add(w[0], w.size() > 1 ? amount(w[1]) : 1, out); }},
        {"remove", "ITEM [QUANTITY]", "take some of it away, or all of it", 1, 2,
         [=](words w, std::ostream& out) { desk->remove(w[0], w.size() > 1 ? amount(w[1]) : 0, w.size() == 1, out); }},
        {"coupon", "[CODE]", "set the coupon, or take it away", 0, 1,
         [=](words w, std::ostream& out) { w.empty() ? desk->drop_coupon(out) : desk->set_coupon(w[0], out); }},
        {"show", "", "the cart", 0, 0, [=](words, std::ostream& out) { desk->show(out); }},
        {"cart", "NAME", "go on with the cart of this name", 1, 1, [=](words w, std::ostream&) { desk->choose(w[0]); }},
        {"carts", "", "all carts", 0, 0, [=](words, std::ostream& out) { desk->list(out); }},
    };
    app::add_state_commands(all, desk->leader());
    return all;
}
