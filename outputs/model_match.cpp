#include "outputs/model_match.h"

#include "outputs/input_error.h"

namespace headscope::outputs {
namespace {

void compare(const std::string& what, const std::string& field, int64_t theirs, int64_t ours) {
  if (theirs != ours) {
    throw ModelMismatch(what, field + " " + std::to_string(ours) + " as in the model",
                        std::to_string(theirs), "It was made for another model.");
  }
}

}  // namespace

void check_model_match(const std::string& what,
                       const ModelIdentity& made_for,
                       const ModelIdentity& model,
                       bool force) {
  compare(what, "num_layers", made_for.shape.num_layers, model.shape.num_layers);
  compare(what, "num_query_heads", made_for.shape.num_query_heads, model.shape.num_query_heads);
  compare(what, "num_kv_heads", made_for.shape.num_kv_heads, model.shape.num_kv_heads);
  compare(what, "head_dim", made_for.shape.head_dim, model.shape.head_dim);
  if (made_for.fingerprint != model.fingerprint && !force) {
    const std::string whose = made_for.name.empty() ? "" : " (of " + made_for.name + ")";
    throw ModelMismatch(what, "the model's fingerprint " + model.fingerprint,
                        made_for.fingerprint + whose,
                        "The shapes agree; --force uses it with this model all the same.");
  }
}

void check_head_counts(const std::string& what,
                       int64_t num_layers,
                       int64_t num_heads,
                       const std::string& axis,
                       const ModelShape& shape) {
  compare(what, "num_layers", num_layers, shape.num_layers);
  const bool kv = axis == "KV heads";
  compare(what, "number of " + axis, num_heads, kv ? shape.num_kv_heads : shape.num_query_heads);
}

}  // namespace headscope::outputs
