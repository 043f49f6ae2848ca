// The form of nearly every benchmark: one computation in several ways, each checked against an
// oracle before any is timed.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/benchmarks/benchmark.h"

namespace headscope::benchmarks {

using Results = std::vector<at::Tensor>;

struct Way {
  std::string name;  // in the message of a failed check
  std::function<Results()> run;
  double tolerance = 0.0;  // largest gap to the oracle, as a part of its largest number
};

// The least that any way must do; the slower of the two is the roof.
struct Work {
  double flops = 0.0;
  double bytes = 0.0;
};

struct ComparedCase {
  std::string op, name;
  at::ScalarType dtype;
  Way ours;
  std::vector<Way> peer;          // B0; empty = nobody does this
  std::vector<Way> compositions;  // B1 is the fastest of them
  std::function<Results()> oracle;
  Work work;
  // Brought to results before they are compared, outside the timed part.
  std::function<at::Tensor(const at::Tensor&)> canonical;
};

// Throws std::runtime_error where a way leaves the oracle. A way that gives fewer results than the
// oracle is compared on those it has.
void check_case(const ComparedCase& c);

// check_case(), then our way in pairs with the peer's and with the fastest composition.
[[nodiscard]] Row time_case(const ComparedCase& c, const Options& options, const Roofs& roofs);

// |found - oracle| <= tolerance * max |oracle|, anywhere.
void expect_close(const std::string& what,
                  const at::Tensor& found,
                  const at::Tensor& oracle,
                  double tolerance);

// A line about the row on stderr, as it is measured.
void announce(const Row& row);

[[nodiscard]] std::string dtype_name(at::ScalarType dtype);

}  // namespace headscope::benchmarks
