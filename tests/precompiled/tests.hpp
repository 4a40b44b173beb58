// SPDX-License-Identifier: Apache-2.0
// What most tests include, compiled once for each program that has many files.
#include <joinery/joinery.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>
