// SPDX-License-Identifier: Apache-2.0
// Does not compile, and the compiler says why (check.py looks for these):
// error: T is no CRDT: it lacks `bool vacant() const`
// error: T is no CRDT: it lacks `static std::string type_name()`
// error: T must have the members that crdt.hpp lists
// error: T is no CRDT: it has no type `fragment`, and was not declared by JOINERY_RECORD
#include <joinery/convergence.hpp>
#include <joinery/dot_store.hpp>
#include <joinery/leader.hpp>

struct nearly {
    using fragment = joinery::dot_store<int>::fragment;
    void extract(const joinery::causal_context& wanted, fragment& out) const { store.extract(wanted, out); }
    void join(const fragment& f, joinery::join_scope& s) { store.join(f, s); }
    void kill(const joinery::dot_range& dots, joinery::join_scope& s) { store.kill(dots, s); }
    void clear(joinery::transaction& tx, joinery::kills& out) { store.clear(tx, out); }
    bool empty() const { return store.empty(); }
    friend bool operator==(const nearly&, const nearly&) = default;

    joinery::dot_store<int> store;
};

bool tested() {
    joinery::testing::subject<nearly> s("nearly");
    return check(s).ok();
}
void replicated(joinery::leader<int>& l) {
    l.write([](int& n, auto&) { ++n; });
}
