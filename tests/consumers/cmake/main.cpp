// SPDX-License-Identifier: Apache-2.0
#include <joinery/version_vector.hpp>

#include <cstdio>

int main() {
    joinery::version_vector eu{{joinery::replica_id{1}, 7}};
    joinery::version_vector us{{joinery::replica_id{2}, 3}};
    eu.join(us);
    std::printf("%s\n", to_string(eu).c_str());
    return us.within(eu) ? 0 : 1;
}
