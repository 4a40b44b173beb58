// SPDX-License-Identifier: Apache-2.0
#include "text_figures.hpp"

#include <algorithm>
#include <cstdio>

namespace bench {

bool text_options::wants(std::string_view name) const {
    return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

void print_platform() {
    std::printf(R"({"processor":"%s","compiler":"%s"})"
                "\n",
                processor().c_str(), compiler);
}

void text_figures::figure(std::string_view column, double value, const char* unit, std::size_t runs) const {
    std::printf(R"({"peer":"%s","version":"%s","trace":"%s","column":"%.*s","value":%.3f,"unit":"%s","runs":%zu})"
                "\n",
                peer_.c_str(), peer_ == "joinery" ? JOINERY_VERSION : "", trace_.c_str(),
                static_cast<int>(column.size()), column.data(), value, unit, runs);
    std::fflush(stdout);
}

} // namespace bench
