// SPDX-License-Identifier: Apache-2.0
// doctest's implementation and a main that fixes RapidCheck's seed and prints it, compiled once for all
// property tests. A run is repeated with the line that it printed:
//
//     RC_PARAMS=seed=12345 ./property_crdt --test-case='or_set*'
//
// Other parameters of RapidCheck work too: RC_PARAMS="max_success=10000 max_size=200".

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

int main(int argc, char** argv) {
    const char* given = std::getenv("RC_PARAMS");
    std::string parameters = given ? given : "";
    if (parameters.find("seed=") == std::string::npos) {
        if (!parameters.empty()) parameters += ' ';
        std::random_device entropy;
        parameters += "seed=" + std::to_string((std::uint64_t{entropy()} << 32) | entropy());
        setenv("RC_PARAMS", parameters.c_str(), 1); // read when the first property runs
    }
    std::printf("replay with RC_PARAMS=\"%s\"\n", parameters.c_str());
    std::fflush(stdout);
    return doctest::Context(argc, argv).run();
}
