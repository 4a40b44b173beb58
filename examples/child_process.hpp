// SPDX-License-Identifier: Apache-2.0
#pragma once

// A program that this one starts, talks with through pipes, and takes down with it: for the demonstration
// and for tests that kill leaders. It is asked in lines and ends each answer with `ok` or `error: ...`
// (option --answers of the applications).

#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

/// The child answered `error: ...`.
struct refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// The child is dead, or does not answer in time.
struct no_answer : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Not thread-safe. Start children from a thread that outlives them: they are killed when it ends.
class child_process {
public:
    /// Throws std::system_error. A program that cannot be executed exits with 127.
    explicit child_process(const std::vector<std::string>& command);
    /// Kills it, if it still runs.
    ~child_process();
    child_process(child_process&& other) noexcept;
    child_process& operator=(child_process&& other) noexcept;

    /// Sends a line without waiting for the answer. Throws no_answer if the child is dead.
    void send(std::string_view line);
    /// The lines of the next answer. Throws refused and no_answer.
    std::vector<std::string> answer(std::chrono::milliseconds limit = default_limit);
    std::vector<std::string> ask(std::string_view line, std::chrono::milliseconds limit = default_limit) {
        send(line);
        return answer(limit);
    }

    void signal(int number);
    /// Waits for its end; what waitpid says. Throws no_answer.
    int wait(std::chrono::milliseconds limit = default_limit);
    /// kill -9, and waits for the end.
    void kill();
    pid_t pid() const { return pid_; }

    static constexpr std::chrono::milliseconds default_limit{20'000};

private:
    pid_t pid_ = -1; // -1: none, or it has ended and was waited for
    int in_ = -1, out_ = -1, death_ = -1;
    std::string unread_;
    int status_ = 0;

    void release() noexcept;
    std::string line(std::chrono::steady_clock::time_point deadline);
};
