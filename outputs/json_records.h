// The parts that our JSON files share: model, provenance, format and version.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "outputs/json_fields.h"
#include "outputs/model_shape.h"
#include "outputs/provenance.h"

namespace headscope::outputs {

[[nodiscard]] nlohmann::ordered_json model_to_json(const ModelIdentity& model);
[[nodiscard]] nlohmann::ordered_json provenance_to_json(const Provenance& provenance);

// Fingerprint, layer and head counts and head_dim must be there; what else a model has is optional.
[[nodiscard]] ModelIdentity model_from_json(const JsonField& field);
[[nodiscard]] Provenance provenance_from_json(const JsonField& field);

// Throws InputError for another format or a newer major version.
void check_json_header(const JsonField& root, const std::string& expected_format);

}  // namespace headscope::outputs
