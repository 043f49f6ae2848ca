#include "outputs/hdf5_records.h"

#include "outputs/file_header.h"
#include "outputs/input_error.h"

namespace headscope::outputs {

void write_header(Hdf5Writer& file, const std::string& format, const std::string& version) {
  file.attribute("/", "format", format);
  file.attribute("/", "format_version", version);
}

void check_header(const Hdf5Reader& file, const std::string& expected_format) {
  if (!file.has_attribute("/", "format")) {
    throw InputError(file.path() + ": format", "\"" + expected_format + "\"",
                     "an HDF5 file of another kind");
  }
  check_file_header(file.path(), file.string_attribute("/", "format"),
                    file.string_attribute("/", "format_version"), expected_format);
}

void write_model(Hdf5Writer& file, const ModelIdentity& model) {
  const ModelShape& shape = model.shape;
  file.group("model");
  file.attribute("model", "name", model.name);
  file.attribute("model", "fingerprint", model.fingerprint);
  file.attribute("model", "architecture", shape.architecture);
  file.attribute("model", "num_layers", shape.num_layers);
  file.attribute("model", "num_query_heads", shape.num_query_heads);
  file.attribute("model", "num_kv_heads", shape.num_kv_heads);
  file.attribute("model", "head_dim", shape.head_dim);
  file.attribute("model", "hidden_size", shape.hidden_size);
  file.attribute("model", "vocab_size", shape.vocab_size);
  file.attribute("model", "max_positions", shape.max_positions);
  file.dataset("model/attention_window", std::span<const int64_t>(shape.attention_window),
               {static_cast<int64_t>(shape.attention_window.size())});
}

ModelIdentity read_model(const Hdf5Reader& file) {
  ModelIdentity model;
  ModelShape& shape = model.shape;
  model.name = file.string_attribute("model", "name");
  model.fingerprint = file.string_attribute("model", "fingerprint");
  shape.architecture = file.string_attribute("model", "architecture");
  shape.num_layers = file.int_attribute("model", "num_layers");
  shape.num_query_heads = file.int_attribute("model", "num_query_heads");
  shape.num_kv_heads = file.int_attribute("model", "num_kv_heads");
  shape.head_dim = file.int_attribute("model", "head_dim");
  shape.hidden_size = file.int_attribute("model", "hidden_size");
  shape.vocab_size = file.int_attribute("model", "vocab_size");
  shape.max_positions = file.int_attribute("model", "max_positions");
  shape.attention_window = file.read<int64_t>("model/attention_window", {-1});
  check_shape(shape, dataset_place(file.path(), "model"));
  return model;
}

void write_provenance(Hdf5Writer& file, const Provenance& provenance) {
  file.group("provenance");
  file.attribute("provenance", "tool_version", provenance.tool_version);
  file.attribute("provenance", "command", provenance.command);
  file.attribute("provenance", "seed", provenance.seed);
  file.attribute("provenance", "device", provenance.device);
  file.attribute("provenance", "dtype", provenance.dtype);
  file.attribute("provenance", "started", provenance.started);
  file.attribute("provenance", "seconds", provenance.seconds);
  file.group("provenance/options");
  for (const auto& [name, value] : provenance.options) {
    file.attribute("provenance/options", name, value);
  }
}

Provenance read_provenance(const Hdf5Reader& file) {
  Provenance provenance;
  provenance.tool_version = file.string_attribute("provenance", "tool_version");
  provenance.command = file.string_attribute("provenance", "command");
  provenance.seed = file.uint_attribute("provenance", "seed");
  provenance.device = file.string_attribute("provenance", "device");
  provenance.dtype = file.string_attribute("provenance", "dtype");
  provenance.started = file.string_attribute("provenance", "started");
  provenance.seconds = file.double_attribute("provenance", "seconds");
  for (const std::string& name : file.attribute_names("provenance/options")) {
    provenance.options[name] = file.string_attribute("provenance/options", name);
  }
  return provenance;
}

}  // namespace headscope::outputs
