// The options of single eviction methods by name: one table from which plans are written and read,
// and NAME=VALUE settings are parsed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "outputs/budget_plan.h"

namespace headscope::outputs {

struct Quirk {
  const char* name;     // as in plan files and in NAME=VALUE
  const char* methods;  // who reads it, "adakv, adacompresskv"
  const char* meaning;  // one line for --help
  std::variant<bool MethodQuirks::*, int64_t MethodQuirks::*, double MethodQuirks::*> member;
  double low;   // numbers: the smallest value, itself allowed
  double high;  // numbers: the largest value, itself allowed
};

// Every member of MethodQuirks once.
[[nodiscard]] std::span<const Quirk> method_quirks();

// The value as a number; 0 and 1 for false and true.
[[nodiscard]] double quirk_value(const MethodQuirks& quirks, const Quirk& quirk);
// InputError, opened by `where`, when the value is out of range or no whole number where one is
// due.
void set_quirk(MethodQuirks& quirks, const Quirk& quirk, double value, const std::string& where);

// Applies settings "NAME=VALUE" ("true" and "false" beside numbers). InputError listing the known
// names for an unknown one.
void apply_settings(const std::vector<std::string>& settings,
                    const std::string& where,
                    MethodQuirks& quirks);

// InputError for a value out of range. `where` opens the message.
void check_quirks(const MethodQuirks& quirks, const std::string& where);

// "own", "layer", "kv_head".
[[nodiscard]] std::string index_sets_name(IndexSets sets);
// Throws InputError listing the names.
[[nodiscard]] IndexSets index_sets_from_name(const std::string& name, const std::string& where);

}  // namespace headscope::outputs
