// SPDX-License-Identifier: Apache-2.0
#include <joinery/log.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

using namespace joinery;

namespace {

const std::string evil = "x\"\nlevel=error event=node_failed\r\t\\ \x7f \xff \xc2\x85 \xe2\x80\xa8 \xc3\xa9";
const std::string tamed = R"("x\"\nlevel=error event=node_failed\r\t\\ \u007f )"
                          "\xef\xbf\xbd"
                          R"( \u0085 \u2028 )"
                          "\xc3\xa9\"";

log_line some_line() {
    return {1'767'225'600'250, log_level::warning, "peer_down", "a peer is silent", {{"node", "eu"}, {"peer", "0a"}}};
}

} // namespace

TEST_CASE("log: a line in logfmt") {
    CHECK(logfmt(some_line()) == "time=2026-01-01T00:00:00.250Z level=warning event=peer_down msg=\"a peer is silent\" "
                                 "node=eu peer=0a");
    CHECK(logfmt({0, log_level::info, "e", "m", {{"empty", ""}, {"a b=c", "d=e"}, {"zone", "eu-1.a:7001/x"}}}) ==
          "time=1970-01-01T00:00:00.000Z level=info event=e msg=m empty=\"\" a_b_c=\"d=e\" zone=eu-1.a:7001/x");
}

TEST_CASE("log: a line in JSON") {
    CHECK(json(some_line()) == R"({"time":"2026-01-01T00:00:00.250Z","level":"warning","event":"peer_down",)"
                               R"("message":"a peer is silent","node":"eu","peer":"0a"})");
}

TEST_CASE("log: hostile text stays within its value, and the line is one line of UTF-8") {
    const log_line line{UINT64_MAX, log_level::error, "e", "m", {{"detail", evil}, {"k\"\n", std::string(1, '\0')}}};
    CHECK(logfmt(line) ==
          "time=9999-12-31T23:59:59.999Z level=error event=e msg=m detail=" + tamed + " k__=\"\\u0000\"");
    CHECK(json(line) == R"({"time":"9999-12-31T23:59:59.999Z","level":"error","event":"e","message":"m","detail":)" +
                            tamed + R"(,"k\"\n":"\u0000"})");
}

TEST_CASE("log: every event has a name and a message of its own") {
    std::vector<std::string> names, messages;
    for (int k = 0; k <= static_cast<int>(event_kind::buffer_dropped); ++k) {
        event e;
        e.kind = static_cast<event_kind>(k);
        const auto line = to_log_line(e);
        CHECK(line.fields.empty());
        CHECK(line.event == to_string(e.kind));
        names.emplace_back(line.event);
        messages.push_back(line.message);
    }
    for (auto* all : {&names, &messages}) {
        std::sort(all->begin(), all->end());
        CHECK(std::unique(all->begin(), all->end()) == all->end());
    }
    CHECK(std::find(names.begin(), names.end(), "unknown") == names.end());
}

TEST_CASE("log: an event's line has what the event has") {
    event e;
    e.kind = event_kind::divergence;
    e.peer = replica_id{0xb};
    e.link = 7;
    e.text = "differs";
    const auto line = to_log_line(e, "carts");
    CHECK(line.level == log_level::error);
    CHECK(line.fields ==
          std::vector<log_line::field>{
              {"collection", "carts"}, {"peer", "000000000000000b"}, {"link", "7"}, {"detail", "differs"}});
}
