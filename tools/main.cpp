// SPDX-License-Identifier: Apache-2.0
#include <joinery/tool.hpp>

int main(int argc, char** argv) { return joinery::tool_main(argc, argv); }
