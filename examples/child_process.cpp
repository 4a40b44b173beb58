// SPDX-License-Identifier: Apache-2.0
#include "child_process.hpp"

#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

// Waits for the descriptor; false if the time ran out.
bool ready(int fd, short events, std::chrono::steady_clock::time_point deadline) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd p{fd, events, 0};
        const int n = poll(&p, 1, left.count() > 0 ? static_cast<int>(left.count()) : 0);
        if (n > 0) return true;
        if (n == 0) return false;
        if (errno != EINTR) fail("poll");
    }
}

} // namespace

child_process::child_process(const std::vector<std::string>& command) {
    std::signal(SIGPIPE, SIG_IGN); // a dead child is an error of write
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0) fail("pipe");
    if (pipe2(from, O_CLOEXEC) != 0) {
        close(to[0]), close(to[1]);
        fail("pipe");
    }
    std::vector<char*> argv;
    argv.reserve(command.size() + 1);
    for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(127); // it died before that was asked for
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        std::signal(SIGPIPE, SIG_DFL);
        execv(argv[0], argv.data());
        _exit(127);
    }
    close(to[0]), close(from[1]);
    in_ = to[1], out_ = from[0];
    if (pid_ < 0) {
        release();
        fail("fork");
    }
    death_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
    if (death_ < 0) {
        const int error = errno;
        release();
        errno = error;
        fail("pidfd_open");
    }
}

child_process::~child_process() { release(); }

child_process::child_process(child_process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      in_(std::exchange(other.in_, -1)),
      out_(std::exchange(other.out_, -1)),
      death_(std::exchange(other.death_, -1)),
      unread_(std::move(other.unread_)),
      status_(other.status_) {}

child_process& child_process::operator=(child_process&& other) noexcept {
    if (this == &other) return *this;
    release();
    pid_ = std::exchange(other.pid_, -1);
    in_ = std::exchange(other.in_, -1);
    out_ = std::exchange(other.out_, -1);
    death_ = std::exchange(other.death_, -1);
    unread_ = std::move(other.unread_);
    status_ = other.status_;
    return *this;
}

void child_process::release() noexcept {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
    }
    for (int* fd : {&in_, &out_, &death_})
        if (*fd >= 0) close(std::exchange(*fd, -1));
}

void child_process::send(std::string_view text) {
    const std::string whole = std::string(text) + '\n';
    for (std::size_t sent = 0; sent < whole.size();) {
        const ssize_t n = write(in_, whole.data() + sent, whole.size() - sent);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw no_answer("the leader is gone: " + std::generic_category().message(errno));
        sent += static_cast<std::size_t>(n);
    }
}

std::string child_process::line(std::chrono::steady_clock::time_point deadline) {
    for (;;) {
        if (const auto end = unread_.find('\n'); end != std::string::npos) {
            std::string out = unread_.substr(0, end);
            unread_.erase(0, end + 1);
            return out;
        }
        if (!ready(out_, POLLIN, deadline)) throw no_answer("no answer in time");
        char part[4096];
        const ssize_t n = read(out_, part, sizeof part);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) throw no_answer("the leader is gone");
        unread_.append(part, static_cast<std::size_t>(n));
    }
}

std::vector<std::string> child_process::answer(std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    std::vector<std::string> out;
    for (;;) {
        std::string next = line(deadline);
        if (next == "ok") return out;
        if (next.starts_with("error: ")) throw refused(next.substr(7));
        out.push_back(std::move(next));
    }
}

void child_process::signal(int number) {
    if (pid_ > 0 && ::kill(pid_, number) != 0) fail("kill");
}

int child_process::wait(std::chrono::milliseconds limit) {
    if (pid_ < 0) return status_;
    if (!ready(death_, POLLIN, std::chrono::steady_clock::now() + limit)) throw no_answer("it does not end");
    while (waitpid(pid_, &status_, 0) < 0)
        if (errno != EINTR) fail("waitpid");
    pid_ = -1;
    return status_;
}

void child_process::kill() {
    signal(SIGKILL);
    wait();
}
