// SPDX-License-Identifier: Apache-2.0
// Shopping carts that several leaders fill at once. In three terminals:
//
//     shopping_cart --name eu --listen tcp://127.0.0.1:7001 --peer tcp://127.0.0.1:7002
//                   --peer tcp://127.0.0.1:7003 --data eu.db
//
// and us and ap likewise at 7002 and 7003. Then `add milk 2`, `show`, `status`; stop one, go on, start it again.

#include "cart.hpp"

int main(int argc, char** argv) {
    return app::run({"shopping_cart", "carts that several leaders fill at once"}, argc, argv,
                    [](joinery::node& node, const app::options&) { return cart_commands(node); });
}
