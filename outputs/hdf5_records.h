// The parts that our HDF5 files share: format and version, model, provenance, tables.
#pragma once

#include <string>
#include <vector>

#include "outputs/hdf5_file.h"
#include "outputs/model_shape.h"
#include "outputs/provenance.h"

namespace headscope::outputs {

void write_header(Hdf5Writer& file, const std::string& format, const std::string& version);
// Throws InputError for another format or a newer major version.
void check_header(const Hdf5Reader& file, const std::string& expected_format);

// Group /model.
void write_model(Hdf5Writer& file, const ModelIdentity& model);
[[nodiscard]] ModelIdentity read_model(const Hdf5Reader& file);

// Group /provenance, its options in /provenance/options.
void write_provenance(Hdf5Writer& file, const Provenance& provenance);
[[nodiscard]] Provenance read_provenance(const Hdf5Reader& file);

// A table is a group with one dataset per column. `field` is a pointer to the member it holds.
template <typename Record, typename T>
void write_column(Hdf5Writer& file,
                  const std::string& name,
                  const std::vector<Record>& records,
                  T Record::*field) {
  std::vector<T> values;
  values.reserve(records.size());
  for (const Record& record : records) values.push_back(record.*field);
  if constexpr (std::is_same_v<T, std::string>) {
    file.dataset(name, values);
  } else {
    file.dataset(name, std::span<const T>(values), {static_cast<int64_t>(values.size())});
  }
}

template <typename Record>
void write_flags(Hdf5Writer& file,
                 const std::string& name,
                 const std::vector<Record>& records,
                 bool Record::*field) {
  std::vector<uint8_t> values;
  for (const Record& record : records) values.push_back(record.*field ? 1 : 0);
  file.dataset(name, std::span<const uint8_t>(values), {static_cast<int64_t>(values.size())});
}

// `records` has its length already; a column of another length is an InputError.
template <typename Record, typename T>
void read_column(const Hdf5Reader& file,
                 const std::string& name,
                 std::vector<Record>& records,
                 T Record::*field) {
  std::vector<T> values = file.read<T>(name, {static_cast<int64_t>(records.size())});
  for (size_t i = 0; i < records.size(); ++i) records[i].*field = std::move(values[i]);
}

template <typename Record>
void read_flags(const Hdf5Reader& file,
                const std::string& name,
                std::vector<Record>& records,
                bool Record::*field) {
  const auto values = file.read<uint8_t>(name, {static_cast<int64_t>(records.size())});
  for (size_t i = 0; i < records.size(); ++i) records[i].*field = values[i] != 0;
}

}  // namespace headscope::outputs
