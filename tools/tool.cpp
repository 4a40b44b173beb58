// SPDX-License-Identifier: Apache-2.0
#include "commands.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <fmt/format.h>

#include <cstdio>
#include <new>
#include <sstream>

namespace joinery {

namespace {

using namespace tool;

constexpr const char* version = JOINERY_VERSION;

bool is_endpoint(const std::string& text) { return text.starts_with("tcp://") || text.starts_with("ipc://"); }

/// A subcommand, with an example under its options.
CLI::App* add(CLI::App& app, const char* name, const char* what, const char* example, bool& json) {
    auto* c = app.add_subcommand(name, what);
    c->footer(fmt::format("Example:\n  {}", example));
    c->add_flag("--json", json, "Print JSON, for scripts");
    return c;
}

/// Of options that say how long.
CLI::Option* add_seconds(CLI::App& c, const char* name, double& seconds, const char* what) {
    const auto check = [](const std::string& text) {
        double x = 0;
        return CLI::detail::lexical_cast(text, x) && x >= 0.1 && x <= 3600
                   ? std::string()
                   : fmt::format("'{}' is no number of seconds from 0.1 to 3600", text);
    };
    return c.add_option(name, seconds, what)->type_name("SECONDS")->check(check)->capture_default_str();
}

void add_live(CLI::App& c, live_options& live) {
    c.add_option("-c,--collection", live.collections, "Only this collection; leaders do not send names")
        ->type_name("NAME")
        ->allow_extra_args(false);
    c.add_flag("--insecure", live.insecure, "Allow plaintext to other machines");
    c.add_option("--identity", live.identity, "This program's keys: see keygen")->type_name("FILE");
}

int run(int argc, char** argv, std::vector<tool_type> also) {
    const known_types types(std::move(also));
    common_options common{false, &types, {}, {}};
    live_options live;
    std::string file, collection, recovered, a, b;
    std::vector<std::string> endpoints;
    double interval = 1, timeout = 10;
    bool existing = false;

    CLI::App app("Looks into joinery's storages and at its leaders.", "joinery");
    app.set_version_flag("--version", std::string("joinery ") + version);
    app.require_subcommand(1);
    app.footer("Exit codes: 0 sound, or equal; 1 damaged, or different; 2 it could not be done.\n"
               "`joinery COMMAND --help` says more; see also joinery(1).");

    auto* inspect_c = add(app, "inspect", "Say what is in a storage's file", "joinery inspect eu.db", common.json);
    auto* verify_c =
        add(app, "verify", "Check a storage's file, and say what is damaged", "joinery verify eu.db", common.json);
    auto* dump_c = add(app, "dump", "Print a state as JSON", "joinery dump eu.db carts", common.json);
    auto* compact_c =
        add(app, "compact", "Replace logs by snapshots; no leader may run", "joinery compact eu.db", common.json);
    auto* recover_c = add(app, "recover", "Copy what is good of a damaged file",
                          "joinery recover eu.db eu-recovered.db", common.json);
    auto* follow_c = add(app, "follow", "Watch what leaders have, without joining them",
                         "joinery follow tcp://127.0.0.1:7001 tcp://127.0.0.1:7002 -c carts", common.json);
    auto* compare_c =
        add(app, "compare", "Compare two files, or two leaders",
            "joinery compare eu.db us.db\n  joinery compare tcp://127.0.0.1:7001 tcp://127.0.0.1:7002", common.json);
    auto* keygen_c =
        add(app, "keygen", "Make the keys that a leader proves itself with", "joinery keygen eu.key", common.json);
    keygen_c->add_option("FILE", file, "A new file, which only its owner may read")->type_name("")->required();
    keygen_c->add_flag("--public", existing, "Print the public half of an existing file");
    for (auto* c : {inspect_c, verify_c, dump_c, compact_c, recover_c})
        c->add_option("FILE", file, "The file of a joinery::sqlite_storage")->type_name("")->required();
    for (auto* c : {inspect_c, verify_c, dump_c, compact_c, recover_c, compare_c})
        c->add_option("--key-file", common.key_file, "The key of encrypted storages: 32 bytes")->type_name("KEY");
    recover_c->add_option("--new-key-file", common.new_key_file, "That of the new file, if another")->type_name("KEY");
    auto* only = dump_c->add_option("COLLECTION", collection, "Only this one")->type_name("");
    recover_c->add_option("NEW", recovered, "The new file")->type_name("")->required();
    follow_c->add_option("ENDPOINT", endpoints, "Where leaders listen: tcp://... or ipc://...")
        ->type_name("")
        ->required();
    add_seconds(*follow_c, "--interval", interval, "Between two tables, or lines of JSON");
    follow_c->add_option("--count", live.count, "Stop after so many; 0: when it is interrupted")
        ->type_name("N")
        ->check([](const std::string& text) {
            return text.find_first_not_of("0123456789") == text.npos ? std::string()
                                                                     : fmt::format("'{}' is no number", text);
        })
        ->capture_default_str();
    add_live(*follow_c, live);
    compare_c->add_option("A", a, "A file, or an endpoint: tcp://... or ipc://...")->type_name("")->required();
    compare_c->add_option("B", b, "The same kind")->type_name("")->required();
    add_seconds(*compare_c, "--timeout", timeout, "To wait for an answer of leaders");
    add_live(*compare_c, live);

    if (argc < 2) throw tool_error("there is no command; see `joinery --help`");
    const bool known = !app.get_subcommands([&](const CLI::App* c) { return c->get_name() == argv[1]; }).empty();
    if (argv[1][0] != '-' && !known)
        throw tool_error(fmt::format("there is no command '{}'; see `joinery --help`", argv[1]));
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        if (e.get_exit_code() != 0)
            throw tool_error(
                fmt::format("{}; see `joinery {}--help`", e.what(), known ? argv[1] + std::string(" ") : ""));
        std::ostringstream text; // help and version
        app.exit(e, text, text);
        print(text.str());
        return good;
    }
    const auto milliseconds = [](double seconds) {
        return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
    };
    live.interval = milliseconds(interval);
    live.timeout = milliseconds(timeout);

    if (*inspect_c) return inspect(file, common);
    if (*verify_c) return verify(file, common);
    if (*dump_c) return dump(file, *only ? std::optional(collection) : std::nullopt, common);
    if (*compact_c) return compact(file, common);
    if (*recover_c) return recover(file, recovered, common);
    if (*keygen_c) return keygen(file, existing, common);
    if (*follow_c) return follow(endpoints, live, common);
    if (is_endpoint(a) != is_endpoint(b))
        throw tool_error("compare: two files, or two endpoints (tcp://..., ipc://...)");
    return is_endpoint(a) ? compare_live(a, b, live, common) : compare_files(a, b, common);
}

} // namespace

int tool_main(int argc, char** argv, std::vector<tool_type> also) {
    try {
        return run(argc, argv, std::move(also));
    } catch (const std::bad_alloc&) {
        std::fputs("joinery: not enough memory\n", stderr);
    } catch (const std::exception& e) {
        tool::complain(e.what());
    }
    return tool::failed;
}

} // namespace joinery
