// headscope_bench --json F [--ops LIST] [--pairs N] [--seconds S] [--threads N]
//                 [--clock wall|processor] [--model M] [--python P] [--grid G] [--rounds N]
//                 [--keep] |
//                 --check
// --keep leaves the rows of other ops that F has already, of the same machine.
// --model and --python are of the ops "profile" and "prefill", the last two of "profile"
// (benchmark.h).
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "kernels/cpu_features.h"
#include "model/freed_memory.h"
#include "outputs/atomic_file.h"
#include "outputs/json_fields.h"
#include "tests/benchmarks/benchmark.h"

namespace headscope::benchmarks {
namespace {

using Json = nlohmann::ordered_json;

struct CommandLine {
  Options options;
  std::string json;
  std::vector<std::string> ops;
  bool keep = false;
  std::string text;  // as it was given
};

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> items;
  std::istringstream stream(list);
  for (std::string item; std::getline(stream, item, ',');) items.push_back(item);
  return items;
}

// DEPTHS:LENGTH+LENGTH+...:NEEDLES
ProfileGrid parse_grid(const std::string& text) {
  ProfileGrid grid;
  std::istringstream stream(text);
  std::string lengths;
  char colon = 0;
  stream >> grid.depths >> colon;
  std::getline(stream, lengths, ':');
  stream >> grid.needles;
  if (!stream || colon != ':' || grid.depths < 1 || grid.needles < 1) {
    throw std::invalid_argument("--grid: expected DEPTHS:LENGTH+LENGTH:NEEDLES, found " + text);
  }
  std::replace(lengths.begin(), lengths.end(), '+', ',');
  grid.context_lengths.clear();
  for (const std::string& length : split(lengths)) {
    grid.context_lengths.push_back(std::stoll(length));
  }
  return grid;
}

CommandLine parse(int argc, char** argv) {
  CommandLine line;
  line.text = "headscope_bench";
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    line.text += " " + option;
    if (option == "--check") {
      line.options.check_only = true;
      continue;
    }
    if (option == "--keep") {
      line.keep = true;
      continue;
    }
    if (i + 1 >= argc) throw std::invalid_argument(option + ": expected a value");
    const std::string value = argv[++i];
    line.text += " " + value;
    if (option == "--json") {
      line.json = value;
    } else if (option == "--ops") {
      line.ops = split(value);
    } else if (option == "--pairs") {
      line.options.pairs = std::stoll(value);
    } else if (option == "--seconds") {
      line.options.most_seconds = std::stod(value);
    } else if (option == "--model") {
      line.options.model = value;
    } else if (option == "--python") {
      line.options.python = value;
    } else if (option == "--grid") {
      line.options.grid = parse_grid(value);
    } else if (option == "--rounds") {
      line.options.rounds = std::stoll(value);
    } else if (option == "--threads") {
      at::set_num_threads(std::stoi(value));
    } else if (option == "--clock" && (value == "wall" || value == "processor")) {
      line.options.clock = value == "wall" ? Clock::kWall : Clock::kProcessor;
    } else {
      throw std::invalid_argument(
          "expected --check or --json, --keep, --ops, --pairs, --seconds, --model, --python, "
          "--grid, --rounds, --threads, --clock wall|processor, found " +
          option + " " + value);
    }
  }
  if (!line.options.check_only && line.json.empty()) {
    throw std::invalid_argument("expected --json FILE or --check");
  }
  if (line.ops.empty()) {
    for (const auto& [op, unused] : benchmark_registry()) line.ops.push_back(op);
  }
  return line;
}

const char* name_of(kernels::InstructionSet set) {
  switch (set) {
    case kernels::InstructionSet::kAmxBf16:
      return "amx_bf16";
    case kernels::InstructionSet::kAvx512Bf16:
      return "avx512_bf16";
    case kernels::InstructionSet::kAvx512:
      return "avx512";
    case kernels::InstructionSet::kAvx2:
      return "avx2";
    case kernels::InstructionSet::kPortable:
      break;
  }
  return "portable";
}

Json machine() {
  std::string name = "unknown";
  std::ifstream file("/proc/cpuinfo");
  for (std::string text; std::getline(file, text);) {
    if (text.rfind("model name", 0) == 0) name = text.substr(text.find(": ") + 2);
  }
  return {{"cpu", name},
          {"instruction_set", name_of(kernels::instruction_set())},
          {"threads", at::get_num_threads()}};
}

Json number(double value) {
  return std::isnan(value) ? Json(nullptr) : Json(value);
}

Json row_json(const Row& row) {
  Json json{{"op", row.op},
            {"case", row.case_name},
            {"dtype", row.dtype},
            {"ours_ms", number(row.ours_ms)},
            {"b0_ms", number(row.b0_ms)},
            {"b1_ms", number(row.b1_ms)},
            {"ratio_b0", number(row.ratio_b0)},
            {"ratio_b1", number(row.ratio_b1)},
            {"p10", number(row.p10)},
            {"p90", number(row.p90)},
            {"fraction_of_roof", number(row.fraction_of_roof)}};
  for (const auto& [name, value] : row.more) json[name] = number(value);
  return json;
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d", std::gmtime(&now));
  return text;
}

// A new record, or the rows of other ops in the one that is there; its command is told as well.
Json begin_record(const CommandLine& line, const Roofs& roofs) {
  Json record{{"machine", machine()},
              {"roofs",
               {{"gemm_gflops", roofs.gemm_gflops},
                {"gemm_bfloat16_gflops", roofs.gemm_bfloat16_gflops},
                {"read_gbs", roofs.read_gbs},
                {"copy_gbs", roofs.copy_gbs}}},
              {"command", line.text},
              {"date", today()},
              {"rows", Json::array()}};
  std::ifstream file(line.json);
  if (!line.keep || !file) return record;
  const Json before = Json::parse(file);
  if (before.at("machine") != record["machine"]) {
    throw std::invalid_argument(line.json + ": expected a record of this machine, " +
                                record["machine"].dump() + ", found " +
                                before.at("machine").dump() + "; name another file");
  }
  record["command"] = before.at("command").get<std::string>() + " && " + line.text;
  record["rows"] = before.at("rows");
  return record;
}

// The op's rows in the place of those that the record had: a run that is stopped loses none.
void replace_rows(Json& record, const std::string& op, const std::vector<Row>& rows) {
  Json all = Json::array();
  for (const Json& row : record["rows"]) {
    if (row.at("op") != op) all.push_back(row);
  }
  for (const Row& row : rows) all.push_back(row_json(row));
  record["rows"] = all;
}

int run(const CommandLine& line) {
  const Roofs roofs = line.options.check_only ? Roofs{} : measure_roofs(line.options);
  Json record = begin_record(line, roofs);
  for (const std::string& op : line.ops) {
    const auto found = benchmark_registry().find(op);
    if (found == benchmark_registry().end()) throw std::invalid_argument("no benchmark of " + op);
    replace_rows(record, op, found->second(line.options, roofs));
    // After every op: what was measured is not lost with a run that is stopped.
    if (!line.options.check_only) {
      outputs::write_file_atomically(line.json, outputs::to_readable_json(record),
                                     /*overwrite=*/true);
    }
  }
  return 0;
}

}  // namespace
}  // namespace headscope::benchmarks

int main(int argc, char** argv) {
  headscope::model::keep_freed_memory();  // as the tool does
  try {
    return headscope::benchmarks::run(headscope::benchmarks::parse(argc, argv));
  } catch (const std::invalid_argument& error) {
    std::cerr << "headscope_bench: " << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "headscope_bench: " << error.what() << "\n";
    return 1;
  }
}
