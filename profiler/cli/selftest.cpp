#include "profiler/self_test.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <sstream>

#include "profiler/cli/commands.h"

namespace headscope::cli {
namespace {

struct SelftestCommand {
  bool drill = false;
};

Json result_json(const std::vector<profiler::SelfTestRow>& rows, double seconds) {
  Json json{{"rows", Json::array()}, {"seconds", seconds}};
  const auto number = [](double value) { return std::isnan(value) ? Json() : Json(value); };
  for (const profiler::SelfTestRow& row : rows) {
    Json entry{{"check", row.check},
               {"ok", row.ok},
               {"value", number(row.measured.value)},
               {"bound", number(row.measured.bound)},
               {"holds_when", row.measured.at_least ? "value >= bound" : "value <= bound"}};
    if (!row.problem.empty()) entry["problem"] = row.problem;
    json["rows"].push_back(entry);
  }
  return json;
}

std::string result_text(const std::vector<profiler::SelfTestRow>& rows, double seconds) {
  std::ostringstream text;
  char line[160];
  for (const profiler::SelfTestRow& row : rows) {
    std::snprintf(line, sizeof line, "%-6s  %-48s  %9.3g %s %.3g", row.ok ? "ok" : "not ok",
                  row.check.c_str(), row.measured.value,
                  row.measured.at_least ? ">=" : "<=", row.measured.bound);
    text << line << (row.problem.empty() ? "" : "  " + row.problem) << "\n";
  }
  std::snprintf(line, sizeof line, "%zu checks in %.1f s", rows.size(), seconds);
  text << line;
  return text.str();
}

void run_selftest(Session& session, const SelftestCommand& command) {
  session.apply_common();
  const auto started = std::chrono::steady_clock::now();
  const auto checks = profiler::self_test_checks(
      session.device(), command.drill ? profiler::faulty_parts() : profiler::own_parts());
  const std::vector<profiler::SelfTestRow> rows = profiler::run_self_test(checks, session.console);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  session.emit(result_json(rows, seconds), result_text(rows, seconds));
  const auto failed =
      std::count_if(rows.begin(), rows.end(), [](const auto& row) { return !row.ok; });
  if (failed > 0) {
    throw std::runtime_error("selftest: " + std::to_string(failed) + " of " +
                             std::to_string(rows.size()) + " checks are not ok");
  }
  if (rows.size() < checks.size()) {
    throw Interrupted("interrupted after " + std::to_string(rows.size()) + " of " +
                      std::to_string(checks.size()) + " checks; nothing is left to resume.");
  }
}

}  // namespace

void setup_selftest(CLI::App& app, Session& session) {
  auto command = std::make_shared<SelftestCommand>();
  CLI::App* sub = app.add_subcommand(
      "selftest", "Checks kernels, scores and caches on this device: a table, seconds");
  sub->add_flag("--drill", command->drill,
                "Put known faults in, to see that the table finds them: ends with exit code 70");
  add_common_options(*sub, session, {Takes::kDevice});
  sub->callback([command, &session] { run_selftest(session, *command); });
}

}  // namespace headscope::cli
