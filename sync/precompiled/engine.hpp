// SPDX-License-Identifier: Apache-2.0
// What most parts of the engine include, compiled once.
#include <joinery/messages.hpp>
#include <joinery/replicated.hpp>
