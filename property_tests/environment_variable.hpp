// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <string>
#include <utility>

/// Has a value for as long as this lives. For programs of one thread.
class environment_variable {
public:
    environment_variable(std::string name, const std::string& value) : name_(std::move(name)) {
        if (const char* old = std::getenv(name_.c_str())) before_ = old; // NOLINT(concurrency-mt-unsafe)
        ::setenv(name_.c_str(), value.c_str(), 1);                       // NOLINT(concurrency-mt-unsafe)
    }
    ~environment_variable() {
        if (before_.empty())
            ::unsetenv(name_.c_str()); // NOLINT(concurrency-mt-unsafe)
        else
            ::setenv(name_.c_str(), before_.c_str(), 1); // NOLINT(concurrency-mt-unsafe)
    }
    environment_variable(const environment_variable&) = delete;
    environment_variable& operator=(const environment_variable&) = delete;

private:
    std::string name_, before_;
};
