// SPDX-License-Identifier: Apache-2.0
// What most parts of the tool include, compiled once.
#include <joinery/joinery.hpp>
