// SPDX-License-Identifier: Apache-2.0
// What most property tests include, compiled once for each program that has many files.
#include <joinery/joinery.hpp>
#include <joinery/rapidcheck.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>
