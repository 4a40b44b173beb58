// SPDX-License-Identifier: Apache-2.0
#include "commands.hpp"

#include <joinery/keys.hpp>

namespace joinery::tool {

int keygen(const std::string& file, bool existing, const common_options& o) {
    const auto keys = existing ? load_keys(file) : key_pair::generate();
    if (!existing) save_keys(keys, file);
    const auto shown = to_string(keys.public_half());
    if (!o.json) {
        print(shown + '\n');
        return good;
    }
    auto out = json_value::object();
    out.add("file", file);
    out.add("public", shown);
    print_json(out);
    return good;
}

} // namespace joinery::tool
