// SPDX-License-Identifier: Apache-2.0
// Three leaders, each a process of its own with an SQLite file and ZeroMQ sockets: conflicting edits, a
// partition, a kill -9 under load, healing. It tells what happens, and exits with 0 only if all three end
// equal, nothing that was acknowledged is missing, and the note is the merge that it has to be.

#include "app.hpp"
#include "cart.hpp"
#include "child_process.hpp"
#include "file_memory.hpp"
#include "note.hpp"
#include "replies.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

std::string milliseconds_since(clock_type::time_point start) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(clock_type::now() - start);
    return std::to_string(ms.count()) + " ms";
}

void say(std::string_view line) { std::cout << line << std::endl; }

// ---- a leader, seen from here: this program again, with --leader ----

// Both applications over one node.
int be_leader(int argc, const char* const* argv) {
    return app::run({"demo --leader", "carts and notes in one leader"}, argc, argv,
                    [](joinery::node& node, const app::options& o) {
                        std::vector<app::command> all;
                        auto take = [&](const char* prefix, std::vector<app::command> commands) {
                            for (auto& c : commands) {
                                c.name = prefix + c.name;
                                all.push_back(std::move(c));
                            }
                        };
                        take("carts-", cart_commands(node));
                        take("notes-", note_commands(node, o.data));
                        return all;
                    });
}

struct folder {
    std::string path = (std::filesystem::temp_directory_path() / "joinery-demo-XXXXXX").string();
    folder() {
        if (!mkdtemp(path.data())) throw std::system_error(errno, std::generic_category(), "mkdtemp " + path);
    }
    ~folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
};

class leader {
public:
    leader(std::string name, const std::string& folder)
        : name_(std::move(name)),
          data_(folder + '/' + name_ + ".db"),
          process_(start("tcp://127.0.0.1:*")),
          address_(process_.ask("address").at(0)) {}

    const std::string& name() const { return name_; }
    const std::string& address() const { return address_; }
    child_process& process() { return process_; }
    std::vector<std::string> ask(const std::string& command) { return process_.ask(command); }

    void dial(const leader& other) { ask("connect " + other.address_); }
    void hang_up(const leader& other) { ask("disconnect " + other.address_); }
    void kill() { process_.kill(); }
    /// At its old address, where the others dial it.
    void restart() { process_ = start(address_); }

private:
    std::string name_, data_;
    child_process process_;
    std::string address_;

    child_process start(const std::string& listen) const {
        return child_process(
            {"/proc/self/exe", "--leader", "--name", name_, "--listen", listen, "--data", data_, "--answers"});
    }
};

// ---- what the three do together ----

class demonstration {
public:
    int run() {
        const auto start = clock_type::now();
        set_up();
        conflicts();
        partition();
        crash();
        const bool good = verdict();
        say("\n" + std::string(good ? "All three are equal" : "WRONG, see above") + "; this took " +
            milliseconds_since(start) + ".");
        return good ? 0 : 1;
    }

private:
    folder folder_;
    leader eu_{"eu", folder_.path}, us_{"us", folder_.path}, ap_{"ap", folder_.path};
    std::vector<leader*> all_{&eu_, &us_, &ap_};
    std::map<std::string, long> acknowledged_; // item to quantity: all additions that were acknowledged
    std::string note_;                         // its id
    bool good_ = true;

    void check(bool condition, const std::string& what) {
        if (condition) return;
        good_ = false;
        say("  WRONG: " + what);
    }

    void add(leader& l, const std::string& item, long n) {
        l.ask("carts-add " + item + ' ' + std::to_string(n));
        acknowledged_[item] += n;
    }

    std::string cart_of(leader& l) { return joined(l.ask("carts-show")); }
    std::string note_of(leader& l) {
        std::string text;
        const auto lines = l.ask("notes-show " + note_);
        for (std::size_t i = 1; i < lines.size(); ++i) text += lines[i] + '\n'; // the first is the title
        return text;
    }
    static std::string joined(const std::vector<std::string>& lines) {
        std::string out;
        for (const auto& line : lines) out += (out.empty() ? "" : ", ") + line;
        return out;
    }

    void edit_file(leader& l, const std::string& text) {
        const std::string path = folder_.path + '/' + l.name() + "-recipe.txt";
        write_file(path, text);
        l.ask("notes-import " + path + ' ' + note_);
    }

    // Waits until each of these has seen what any of them has.
    void converge(const std::vector<leader*>& leaders) {
        const auto start = clock_type::now();
        for (const char* collection : {"carts-", "notes-"}) {
            joinery::version_vector everything;
            for (auto* l : leaders) everything.join(app::to_version(l->ask(std::string(collection) + "version").at(0)));
            for (auto* l : leaders) l->process().send(collection + ("await " + app::to_word(everything)) + " 15");
            for (auto* l : leaders) l->process().answer();
        }
        say("  converged after " + milliseconds_since(start));
    }

    void print(leader& l) {
        say("  " + l.name() + ": " + cart_of(l));
        say("      digests " + l.ask("carts-digest").at(0) + " (carts), " + l.ask("notes-digest").at(0) + " (notes)");
    }

    void set_up() {
        say("Three leaders start, each with a file of its own:");
        for (auto* l : all_) say("  " + l->name() + " listens at " + l->address());
        for (auto* l : all_)
            for (auto* other : all_)
                if (l != other) l->dial(*other);
        note_ = eu_.ask("notes-new Recipe").at(0);
        edit_file(eu_, "Pancakes\n\nTwo cups of flour.\nOne cup of milk.\nBake them.\n");
        converge(all_);
    }

    void conflicts() {
        say("\nAll three change the same cart at the same moment:");
        add(eu_, "milk", 1);
        say("  eu has put 1 milk into it");
        // No answers are waited for until all have been asked.
        eu_.process().send("carts-add milk 2");
        us_.process().send("carts-add milk 3");
        ap_.process().send("carts-add bread 1");
        eu_.process().send("carts-coupon SPRING");
        us_.process().send("carts-coupon SUMMER");
        for (auto* l : all_) l->process().answer();
        eu_.process().answer();
        us_.process().answer();
        acknowledged_["milk"] += 5;
        acknowledged_["bread"] += 1;
        say("  eu adds 2 more milk and sets the coupon SPRING, us adds 3 milk and sets SUMMER, ap adds bread");
        converge(all_);
        for (auto* l : all_) print(*l);
    }

    void partition() {
        say("\nThe network is cut: eu and us on one side, ap on the other. All go on writing:");
        ap_.hang_up(eu_), ap_.hang_up(us_), eu_.hang_up(ap_), us_.hang_up(ap_);
        eu_.ask("carts-remove bread");
        add(ap_, "bread", 4);
        say("  eu removes the bread; ap, which does not know, adds 4");
        acknowledged_["bread"] = 4; // the one that eu had seen is removed
        add(us_, "eggs", 6);
        add(ap_, "eggs", 6);
        say("  us and ap both add 6 eggs");
        edit_file(eu_, "Pancakes\n\nThree cups of flour.\nOne cup of milk.\nBake them.\n");
        say("  eu edits the recipe: three cups of flour");
        edit_file(ap_, "Pancakes\n\nTwo cups of flour.\nOne cup of oat milk.\nBake them.\n");
        ap_.ask("notes-append " + note_ + " Enjoy!");
        ap_.ask("notes-tag " + note_ + " vegan");
        say("  ap edits the recipe: oat milk, a line at the end, the tag vegan");
        say(" eu and us agree:");
        converge({&eu_, &us_});
        check(cart_of(ap_).find("12 eggs") == std::string::npos, "ap was not cut off");
        print(us_);
        print(ap_);

        say("\nThe network heals:");
        ap_.dial(eu_), ap_.dial(us_), eu_.dial(ap_), us_.dial(ap_);
        converge(all_);
        for (auto* l : all_) print(*l);
    }

    void crash() {
        constexpr int load = 400;
        constexpr int kill_after = 150;
        say("\nus is killed (kill -9) while all three take in " + std::to_string(load) + " additions each:");
        std::map<leader*, int> confirmed;
        // Each leader has a few requests under way all the time.
        constexpr int under_way = 20;
        std::map<leader*, int> sent;
        bool us_alive = true;
        auto item = [](const leader& l, int i) { return l.name() + "-" + std::to_string(i); };
        auto push = [&](leader& l) {
            if (sent[&l] < load) l.process().send("carts-add " + item(l, sent[&l]++) + " 1");
        };
        for (auto* l : all_) {
            l->ask("carts-cart load");
            for (int i = 0; i < under_way; ++i) push(*l);
        }
        for (int round = 0; round < load; ++round)
            for (auto* l : all_) {
                if (l == &us_ && !us_alive) continue;
                l->process().answer();
                ++confirmed[l];
                if (l == &us_ && confirmed[l] == kill_after) {
                    us_.kill();
                    us_alive = false;
                    say("  us is dead after " + std::to_string(confirmed[l]) + " acknowledged additions");
                    continue;
                }
                push(*l);
            }
        say("  eu and ap went on: " + std::to_string(confirmed[&eu_]) + " and " + std::to_string(confirmed[&ap_]) +
            " acknowledged");
        us_.restart();
        for (auto* l : {&eu_, &ap_}) us_.dial(*l);
        us_.ask("carts-cart load");
        add_late();
        say("  us starts again from its file, and goes on writing");
        converge(all_);

        for (auto* l : all_) {
            std::size_t missing = 0;
            const auto lines = l->ask("carts-show");
            std::map<std::string, bool> there;
            for (const auto& line : lines) there[line] = true;
            for (auto* writer : all_)
                for (int i = 0; i < confirmed[writer]; ++i) missing += !there.contains("1 " + item(*writer, i));
            missing += !there.contains("1 after-the-crash");
            check(missing == 0, l->name() + " lacks " + std::to_string(missing) + " acknowledged additions");
            say("  " + l->name() + " has " + std::to_string(lines.size()) + " items, lacks " + std::to_string(missing) +
                " acknowledged ones");
            l->ask("carts-cart cart");
        }
    }

    void add_late() { us_.ask("carts-add after-the-crash 1"); }

    bool verdict() {
        say("\nIn the end:");
        const std::string merge = "Pancakes\n\nThree cups of flour.\nOne cup of oat milk.\nBake them.\nEnjoy!\n";
        const std::string carts = eu_.ask("carts-digest").at(0), notes = eu_.ask("notes-digest").at(0);
        for (auto* l : all_) {
            print(*l);
            check(l->ask("carts-digest").at(0) == carts && l->ask("notes-digest").at(0) == notes,
                  l->name() + " differs from eu");
            const std::string cart = cart_of(*l);
            for (const auto& [item, n] : acknowledged_)
                check(cart.find(std::to_string(n) + ' ' + item) != std::string::npos,
                      l->name() + " does not have " + std::to_string(n) + ' ' + item);
            check(note_of(*l) == merge, l->name() + " has another recipe:\n" + note_of(*l));
        }
        say("The recipe, with the edits of both sides (" + eu_.ask("notes-list").at(0) + "):");
        std::cout << note_of(eu_);
        for (auto* l : all_) {
            l->process().send("quit");
            check(l->process().wait() == 0, l->name() + " did not leave cleanly");
        }
        return good_;
    }
};

} // namespace

int main(int argc, char** argv) {
    if (argc > 1 && std::string_view(argv[1]) == "--leader") return be_leader(argc - 1, argv + 1);
    if (argc > 1) {
        std::cerr << "usage: demo\n";
        return 2;
    }
    try {
        return demonstration().run();
    } catch (const std::exception& e) {
        std::cerr << "demo: " << e.what() << '\n';
        return 1;
    }
}
