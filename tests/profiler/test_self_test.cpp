#include "profiler/self_test.h"

#include <stdlib.h>

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "profiler/scorer_registry.h"
#include "profiler/self_test_kernels.h"
#include "runtime/eviction_policy.h"
#include "tests/profiler/planted_setup.h"

namespace headscope::testing {
namespace {

using profiler::KernelDoor;
using profiler::SelfTestCheck;
using profiler::SelfTestRow;

std::vector<SelfTestRow> run(const std::vector<SelfTestCheck>& checks) {
  profiler::SilentProgress silent;
  return profiler::run_self_test(checks, silent);
}

bool begins_with(const std::string& text, const std::string& prefix) {
  return text.rfind(prefix, 0) == 0;
}

int64_t count_rows(const std::vector<SelfTestRow>& rows, const std::string& prefix) {
  return std::count_if(rows.begin(), rows.end(),
                       [&](const SelfTestRow& row) { return begins_with(row.check, prefix); });
}

// Names of the functions that kernels/ops.h declares.
std::vector<std::string> declared_ops() {
  const std::filesystem::path tests =
      std::filesystem::path(HEADSCOPE_GOLDEN_FOLDER).parent_path().parent_path();
  std::ifstream file(tests.parent_path() / "kernels" / "ops.h");
  REQUIRE(file);
  // At the margin: what is returned, a name, an open bracket.
  const std::regex declaration(R"(^(?:\[\[nodiscard\]\] )?[A-Za-z_:<>0-9]+ ([a-z_0-9]+)\(.*)");
  std::vector<std::string> names;
  std::smatch match;
  for (std::string line; std::getline(file, line);) {
    if (std::regex_match(line, match, declaration)) names.push_back(match[1]);
  }
  return names;
}

// One fault per op; each is small.
std::map<std::string, KernelDoor> broken_doors() {
  std::map<std::string, KernelDoor> doors;
  doors["causal_attention"].causal_attention = [](const at::Tensor& q, const at::Tensor& k,
                                                  const at::Tensor& v, double scale, int64_t) {
    return kernels::causal_attention(q, k, v, scale, /*attention_window=*/k.size(2) / 2);
  };
  doors["full_attention"].full_attention = [](const at::Tensor& q, const at::Tensor& k,
                                              const at::Tensor& v, double scale) {
    return kernels::full_attention(q, k, v, scale * 1.01);
  };
  doors["ragged_attention"].ragged_attention = [](const at::Tensor& q, const kernels::RaggedKv& kv,
                                                  double scale) {
    kernels::RaggedKv shifted = kv;
    ++shifted.offset.back();
    --shifted.length.back();
    return kernels::ragged_attention(q, shifted, scale);
  };
  doors["window_importance"].window_importance =
      [](const at::Tensor& q, const at::Tensor& k, double scale, std::span<const int64_t> heads,
         const kernels::WindowImportanceOptions& options, const std::optional<at::Tensor>& lse) {
        return kernels::window_importance(q, k, scale * 1.01, heads, options, lse);
      };
  doors["span_attention"].span_attention =
      [](const at::Tensor& q, const at::Tensor& k, double scale, int64_t first_position,
         std::span<const kernels::KeySpan> spans, const std::optional<at::Tensor>& lse) {
        return kernels::span_attention(q, k, scale, first_position - 1, spans, lse);
      };
  doors["top_attended"].top_attended = [](const at::Tensor& q, const at::Tensor& k, double scale,
                                          int64_t first_position, int64_t top_n,
                                          const std::optional<at::Tensor>& lse) {
    kernels::TopAttended top = kernels::top_attended(q, k, scale, first_position, top_n, lse);
    top.position = top.position.clone().add_(1);
    return top;
  };
  doors["attention_received"].attention_received = [](const at::Tensor& q, const at::Tensor& k,
                                                      const at::Tensor& lse, double scale,
                                                      int64_t attention_window) {
    return kernels::attention_received(q, k, lse + 0.01, scale, attention_window);
  };
  doors["select_retained"].select_retained = [](const at::Tensor& scores,
                                                std::span<const int64_t> count) {
    // Ties go to the higher position.
    std::vector<at::Tensor> kept = kernels::select_retained(scores.flip(1), count);
    for (at::Tensor& row : kept) row = (scores.size(1) - 1 - row).flip(0);
    return kept;
  };
  doors["compact_kv"].compact_kv = [](const at::Tensor& source, const at::Tensor& positions,
                                      const at::Tensor& target, int64_t target_offset) {
    kernels::compact_kv(source, positions.slice(0, 0, positions.size(0) - 1), target,
                        target_offset);
  };
  doors["compact_layer_kv"].compact_layer_kv =
      [](const at::Tensor& source, std::span<const at::Tensor> positions, const at::Tensor& target,
         std::span<const int64_t> target_offset) {
        std::vector<at::Tensor> fewer(positions.begin(), positions.end());
        fewer.back() = fewer.back().slice(0, 1);
        kernels::compact_layer_kv(source, fewer, target, target_offset);
      };
  doors["error_curve"].error_curve = [](const at::Tensor& q, const at::Tensor& k,
                                        const at::Tensor& v, double scale, int64_t first_position,
                                        const at::Tensor& order, std::span<const int64_t> cuts,
                                        int64_t tail_begin) {
    return kernels::error_curve(q, k, v, scale, first_position, order.flip(1), cuts, tail_begin);
  };
  return doors;
}

}  // namespace

TEST_CASE("the self-test passes, and covers every op, score and eviction method", "[profiler]") {
  const std::vector<SelfTestRow> rows =
      run(profiler::self_test_checks(at::kCPU, profiler::own_parts()));
  for (const SelfTestRow& row : rows) {
    INFO(row.check << ": " << row.measured.value << ", bound " << row.measured.bound << " "
                   << row.problem);
    CHECK(row.ok);
    CHECK(row.problem.empty());
  }
  const std::vector<std::string> ops = declared_ops();
  CHECK(ops.size() >= 8);
  for (const std::string& op : ops) {
    INFO(op);
    CHECK(count_rows(rows, "kernel " + op + ", ") == (op == "select_retained" ? 1 : 3));
  }
  for (const std::string& score : profiler::scorer_names()) {
    for (const int64_t group : {1, 2, 4, 5, 7, 8}) {
      const std::string name = "score " + score + ", group size " + std::to_string(group);
      INFO(name);
      CHECK(count_rows(rows, name) == 1);
    }
  }
  for (const runtime::EvictionPolicy& policy : runtime::eviction_policies()) {
    INFO(policy.name);
    CHECK(count_rows(rows, "cache " + std::string(policy.name) + ", ") == 1);
  }
}

TEST_CASE("a fault in any op is reported, and only there", "[profiler]") {
  const std::map<std::string, KernelDoor> doors = broken_doors();
  for (const std::string& op : declared_ops()) {
    INFO("no fault for " << op);
    CHECK(doors.count(op) == 1);
  }
  for (const auto& [op, door] : doors) {
    for (const SelfTestRow& row : run(profiler::kernel_checks(at::kCPU, door))) {
      INFO(op << " is broken; " << row.check << ": " << row.measured.value << ", bound "
              << row.measured.bound);
      CHECK(row.ok == !begins_with(row.check, "kernel " + op + ","));
    }
  }
}

TEST_CASE("the drill's faults are what the table finds", "[profiler]") {
  int64_t found = 0;
  for (const SelfTestRow& row :
       run(profiler::self_test_checks(at::kCPU, profiler::faulty_parts()))) {
    INFO(row.check << ": " << row.measured.value << ", bound " << row.measured.bound);
    const bool faulty =
        begins_with(row.check, "kernel span_attention") || begins_with(row.check, "cache ") ||
        (begins_with(row.check, "score ") &&
         // What these say of the planted head holds for its neighbours as well.
         !begins_with(row.check, "score sink") && !begins_with(row.check, "score echo"));
    CHECK(row.ok == !faulty);
    found += row.ok ? 0 : 1;
  }
  CHECK(found > 10);
}

TEST_CASE("a score that ranks another head first is reported at every group size", "[profiler]") {
  profiler::SelfTestParts parts = profiler::own_parts();
  const auto profile = parts.profile;
  parts.profile = [profile](const profiler::MeasuredModel& model,
                            const std::vector<profiler::Probe>& probes) {
    HeadProfile measured = profile(model, probes);
    measured.scores.at("retrieval").mean.at(1, 1) = 0.9;
    return measured;
  };
  for (const SelfTestRow& row : run(profiler::self_test_checks(at::kCPU, parts))) {
    INFO(row.check << ": " << row.measured.value);
    CHECK(row.ok == !begins_with(row.check, "score retrieval"));
  }
}

TEST_CASE("a check that throws or finds no number is not ok", "[profiler]") {
  const std::vector<SelfTestRow> rows =
      run({{"throws", []() -> profiler::Measurement { throw std::logic_error("no such head"); }},
           {"nan",
            [] {
              return profiler::Measurement{std::nan(""), 1.0};
            }},
           {"nan at least",
            [] {
              return profiler::Measurement{std::nan(""), 1.0, true};
            }},
           {"fine", [] {
              return profiler::Measurement{1.0, 1.0};
            }}});
  CHECK_FALSE(rows.at(0).ok);
  CHECK(rows.at(0).problem == "no such head");
  CHECK_FALSE(rows.at(1).ok);
  CHECK_FALSE(rows.at(2).ok);
  CHECK(rows.at(3).ok);
}

TEST_CASE("the self-test leaves no file behind", "[profiler]") {
  const ScratchFolder scratch;
  const char* before = std::getenv("TMPDIR");
  const std::string old = before == nullptr ? "" : before;
  setenv("TMPDIR", scratch.path().c_str(), /*overwrite=*/1);
  {
    const auto checks = profiler::self_test_checks(at::kCPU, profiler::own_parts());
    CHECK_FALSE(std::filesystem::is_empty(scratch.path()));
    for (const SelfTestCheck& check : checks) {
      if (check.name == "planted models answer, group size 1") CHECK(check.measure().ok());
    }
  }
  before == nullptr ? unsetenv("TMPDIR") : setenv("TMPDIR", old.c_str(), 1);
  CHECK(std::filesystem::is_empty(scratch.path()));
}

}  // namespace headscope::testing
