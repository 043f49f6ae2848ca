#include <array>

#include "outputs/input_error.h"
#include "runtime/eviction_policy.h"
#include "runtime/policies/policies.h"

namespace headscope::runtime {

std::span<const EvictionPolicy> eviction_policies() {
  static const std::array<EvictionPolicy, 14> kPolicies = {
      full_policy(),          streaming_policy(),  snapkv_policy(),
      pyramidkv_policy(),     h2o_policy(),        adakv_policy(),
      cake_policy(),          compresskv_policy(), headcompresskv_policy(),
      adacompresskv_policy(), headkv_policy(),     razor_policy(),
      kvcompress_policy(),    gates_policy()};
  return kPolicies;
}

std::string policy_names() {
  std::string names;
  for (const EvictionPolicy& policy : eviction_policies()) {
    names += (names.empty() ? "" : ", ") + std::string(policy.name);
  }
  return names;
}

const EvictionPolicy& find_policy(const std::string& name, const std::string& where) {
  for (const EvictionPolicy& policy : eviction_policies()) {
    if (policy.name == name) {
      return policy;
    }
  }
  throw InputError(where, "one of " + policy_names(), "\"" + name + "\"");
}

}  // namespace headscope::runtime
