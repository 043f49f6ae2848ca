// Which keys a method keeps of one layer, for comparison with Python.
//
// usage: retain_keys METHOD SETTINGS.json DIR. DIR/q.f32 [Hq, S, d] and DIR/k.f32 [Hkv, S, d] are
// little-endian float32; the settings name their sizes, the budget and the selection options.
// Prints the kept positions of every KV head as JSON.
#include <ATen/ATen.h>

#include <exception>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "outputs/method_quirks.h"
#include "outputs/plan_json.h"
#include "runtime/eviction_policy.h"

namespace {

namespace runtime = headscope::runtime;

at::Tensor read_tensor(const std::string& path, std::vector<int64_t> sizes) {
  at::Tensor values = at::empty(sizes, at::kFloat);
  std::ifstream file(path, std::ios::binary);
  file.read(static_cast<char*>(values.data_ptr()), static_cast<std::streamsize>(values.nbytes()));
  if (!file) throw std::runtime_error("cannot read " + path);
  return values.unsqueeze(0);
}

nlohmann::json kept_positions(const std::string& method,
                              const nlohmann::json& settings,
                              const std::string& folder) {
  const int64_t num_keys = settings.at("num_keys");
  const int64_t head_dim = settings.at("head_dim");
  const int64_t num_kv_heads = settings.at("num_kv_heads");
  const at::Tensor q =
      read_tensor(folder + "/q.f32", {settings.at("num_query_heads"), num_keys, head_dim});
  const at::Tensor k = read_tensor(folder + "/k.f32", {num_kv_heads, num_keys, head_dim});
  const double scale = settings.at("scale");

  const runtime::EvictionPolicy& policy = runtime::find_policy(method);
  runtime::LayerEvidence evidence;
  evidence.k = k;
  evidence.scale = scale;
  evidence.selection = policy.defaults;
  if (policy.judges_by_window) {
    evidence.selection.observation_window = settings.at("window");
    evidence.selection.pooling_kernel = settings.at("pooling_kernel");
    evidence.window_q = q.slice(2, num_keys - evidence.selection.observation_window);
  }
  headscope::outputs::apply_settings(settings.at("set").get<std::vector<std::string>>(), "set",
                                     evidence.selection.quirks);
  const auto attention = headscope::kernels::causal_attention(q, k, k, scale);
  evidence.received = headscope::kernels::attention_received(q, k, attention.lse, scale);
  const std::vector<int64_t> budgets(static_cast<size_t>(num_kv_heads), settings.at("budget"));
  evidence.budget_tokens = budgets;

  nlohmann::json kept = nlohmann::json::array();
  for (const at::Tensor& row : policy.retain(evidence)) {
    const int64_t* positions = row.const_data_ptr<int64_t>();
    kept.push_back(std::vector<int64_t>(positions, positions + row.numel()));
  }
  return kept;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: retain_keys METHOD SETTINGS.json DIR\n";
    return 2;
  }
  try {
    std::ifstream file(argv[2]);
    std::cout << kept_positions(argv[1], nlohmann::json::parse(file), argv[3]) << "\n";
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
