#include "outputs/interop/head_order.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "outputs/json_fields.h"

namespace headscope::outputs {
namespace {

// Throws InputError unless `row` holds each of 0..row.size()-1 once.
void check_permutation(const std::string& place, const std::vector<int64_t>& row) {
  std::vector<bool> seen(row.size(), false);
  for (const int64_t head : row) {
    if (head < 0 || head >= static_cast<int64_t>(row.size())) {
      throw InputError(place, "query heads 0 to " + std::to_string(row.size() - 1),
                       std::to_string(head));
    }
    if (seen[static_cast<size_t>(head)]) {
      throw InputError(place, "each head once", "head " + std::to_string(head) + " twice");
    }
    seen[static_cast<size_t>(head)] = true;
  }
}

void check_order(const HeadOrder& order, const std::string& where) {
  if (order.empty()) throw InputError(where, "at least one layer", "none");
  for (size_t layer = 0; layer < order.size(); ++layer) {
    const std::string place = where + ": " + std::to_string(layer);
    if (order[layer].empty() || order[layer].size() != order.front().size()) {
      throw InputError(place,
                       order.front().empty()
                           ? "at least one head"
                           : std::to_string(order.front().size()) + " heads, as in layer 0",
                       std::to_string(order[layer].size()));
    }
    check_permutation(place, order[layer]);
  }
}

}  // namespace

HeadOrder read_head_order(const std::filesystem::path& path) {
  const nlohmann::json parsed = parse_json(read_file(path), path.string());
  const JsonField root(parsed, path.string());
  HeadOrder order;
  const size_t num_layers = root.members().size();
  for (size_t layer = 0; layer < num_layers; ++layer) {
    order.push_back(root.at(std::to_string(layer)).integers());
  }
  check_order(order, path.string());
  return order;
}

std::string head_order_to_json(const HeadOrder& order) {
  try {
    check_order(order, "head order");
  } catch (const InputError& error) {
    throw std::invalid_argument(error.what());
  }
  // Spaced as Python's json.dumps does, and without a final newline: the published bytes.
  std::string text = "{";
  for (size_t layer = 0; layer < order.size(); ++layer) {
    text += (layer == 0 ? "\"" : ", \"") + std::to_string(layer) + "\": [";
    for (size_t rank = 0; rank < order[layer].size(); ++rank) {
      text += (rank == 0 ? "" : ", ") + std::to_string(order[layer][rank]);
    }
    text += "]";
  }
  return text + "}";
}

void write_head_order(const HeadOrder& order, const std::filesystem::path& path, bool overwrite) {
  write_file_atomically(path, head_order_to_json(order), overwrite);
}

}  // namespace headscope::outputs
