// SPDX-License-Identifier: Apache-2.0
// Notes that several people edit at once, at a prompt or with the editor of their choice. In two terminals:
//
//     notes --name eu --listen tcp://127.0.0.1:7001 --peer tcp://127.0.0.1:7002 --data eu.db
//     notes --name us --listen tcp://127.0.0.1:7002 --peer tcp://127.0.0.1:7001 --data us.db
//
// `import plan.txt` in one, `export ID my-plan.txt` in the other; change both files; `import` both again.

#include "note.hpp"

int main(int argc, char** argv) {
    return app::run({"notes", "texts that several people edit at once"}, argc, argv,
                    [](joinery::node& node, const app::options& o) { return note_commands(node, o.data); });
}
