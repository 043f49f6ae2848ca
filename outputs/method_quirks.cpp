#include "outputs/method_quirks.h"

#include <array>
#include <charconv>
#include <cmath>
#include <sstream>

#include "outputs/input_error.h"

namespace headscope::outputs {
namespace {

using Q = MethodQuirks;

constexpr double kSmallest = 1e-6;  // of what must be above 0
constexpr double kLargest = 1e6;

constexpr std::array<Quirk, 12> kQuirks{{
    {"group_max", "window methods", "a KV head votes by the maximum over its query heads",
     &Q::group_max, 0, 1},
    {"head_floor", "adakv, adacompresskv", "share of the mean budget that every KV head keeps",
     &Q::head_floor, 0.0, 1.0},
    {"weigh_heads", "adakv, adacompresskv", "scores scaled by the share of the head's best keys",
     &Q::weigh_heads, 0, 1},
    {"heavy_share", "h2o", "share of the budget for heavy hitters", &Q::heavy_share, 0.0, 1.0},
    {"mean_per_row", "h2o", "attention divided by the rows that see the key", &Q::mean_per_row, 0,
     1},
    {"entropy_tau", "cake", "tau1", &Q::entropy_tau, kSmallest, kLargest},
    {"variance_tau", "cake", "tau2", &Q::variance_tau, kSmallest, kLargest},
    {"variance_weight", "cake", "gamma", &Q::variance_weight, 0.0, kLargest},
    {"squared", "kvcompress", "squared attention", &Q::squared, 0, 1},
    {"block_tokens", "kvcompress", "tokens of an eviction block", &Q::block_tokens, 1, 65536},
    {"even_layers", "kvcompress", "every layer gives up the same", &Q::even_layers, 0, 1},
    {"compensation", "razor", "one token stands for what was dropped", &Q::compensation, 0, 1},
}};

std::string as_text(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

const Quirk& find_quirk(const std::string& name, const std::string& where) {
  std::string known;
  for (const Quirk& quirk : kQuirks) {
    if (name == quirk.name) return quirk;
    known += (known.empty() ? "" : ", ") + std::string(quirk.name);
  }
  throw InputError(where, "one of " + known, "\"" + name + "\"");
}

double number_from(const std::string& text, const std::string& where) {
  if (text == "true") return 1.0;
  if (text == "false") return 0.0;
  double value = 0.0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) {
    throw InputError(where, "a number, true or false", "\"" + text + "\"");
  }
  return value;
}

}  // namespace

std::span<const Quirk> method_quirks() {
  return kQuirks;
}

double quirk_value(const MethodQuirks& quirks, const Quirk& quirk) {
  return std::visit([&](auto member) { return static_cast<double>(quirks.*member); }, quirk.member);
}

void set_quirk(MethodQuirks& quirks, const Quirk& quirk, double value, const std::string& where) {
  const bool whole = !std::holds_alternative<double MethodQuirks::*>(quirk.member);
  if (!(value >= quirk.low && value <= quirk.high) || (whole && value != std::floor(value))) {
    throw InputError(where + ": " + quirk.name,
                     std::string(whole ? "a whole number" : "a number") + " of " +
                         as_text(quirk.low) + " to " + as_text(quirk.high),
                     as_text(value));
  }
  if (const auto* flag = std::get_if<bool MethodQuirks::*>(&quirk.member)) {
    quirks.** flag = value != 0.0;
  } else if (const auto* count = std::get_if<int64_t MethodQuirks::*>(&quirk.member)) {
    quirks.** count = static_cast<int64_t>(value);
  } else {
    quirks.*std::get<double MethodQuirks::*>(quirk.member) = value;
  }
}

void apply_settings(const std::vector<std::string>& settings,
                    const std::string& where,
                    MethodQuirks& quirks) {
  for (const std::string& setting : settings) {
    const size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      throw InputError(where, "NAME=VALUE", "\"" + setting + "\"");
    }
    const Quirk& quirk = find_quirk(setting.substr(0, equals), where);
    set_quirk(quirks, quirk, number_from(setting.substr(equals + 1), where), where);
  }
}

void check_quirks(const MethodQuirks& quirks, const std::string& where) {
  MethodQuirks checked;
  for (const Quirk& quirk : kQuirks) set_quirk(checked, quirk, quirk_value(quirks, quirk), where);
}

std::string index_sets_name(IndexSets sets) {
  switch (sets) {
    case IndexSets::kLayer:
      return "layer";
    case IndexSets::kKvHead:
      return "kv_head";
    case IndexSets::kOwn:
      break;
  }
  return "own";
}

IndexSets index_sets_from_name(const std::string& name, const std::string& where) {
  for (const IndexSets sets : {IndexSets::kOwn, IndexSets::kLayer, IndexSets::kKvHead}) {
    if (index_sets_name(sets) == name) return sets;
  }
  throw InputError(where, "\"own\", \"layer\" or \"kv_head\"", "\"" + name + "\"");
}

}  // namespace headscope::outputs
