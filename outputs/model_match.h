// Does a file that was made for one model fit another?
#pragma once

#include <cstdint>
#include <string>

#include "outputs/model_shape.h"

namespace headscope::outputs {

// Throws ModelMismatch unless a file made for `made_for` may be used with `model`. The head counts,
// the layer count and head_dim must agree whatever `force` says; a different fingerprint (another
// checkpoint of the same shape) is allowed only with `force`. `what` names the file in the message:
// "plan p.json".
void check_model_match(const std::string& what,
                       const ModelIdentity& made_for,
                       const ModelIdentity& model,
                       bool force);

// The same for foreign head files, which carry nothing but their dimensions. `axis` says which
// heads the columns are: "query heads" or "KV heads", and `num_heads` is compared with that count.
void check_head_counts(const std::string& what,
                       int64_t num_layers,
                       int64_t num_heads,
                       const std::string& axis,
                       const ModelShape& shape);

}  // namespace headscope::outputs
