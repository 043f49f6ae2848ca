#include "outputs/profile_file.h"

#include <stdexcept>

#include "outputs/curves_file.h"
#include "outputs/file_header.h"
#include "outputs/hdf5_records.h"
#include "outputs/input_error.h"

namespace headscope::outputs {
namespace {

template <typename T>
int64_t ssize(const std::vector<T>& values) {
  return static_cast<int64_t>(values.size());
}

void check_size(const std::string& place, int64_t expected, int64_t found) {
  if (expected != found) {
    throw InputError(place, std::to_string(expected) + " values", std::to_string(found));
  }
}

void check_span(const std::string& place, const TokenSpan& span, int64_t context_length) {
  if (span.begin < 0 || span.end < span.begin || span.end > context_length) {
    throw InputError(place, "a span inside 0 to " + std::to_string(context_length),
                     "[" + std::to_string(span.begin) + ", " + std::to_string(span.end) + ")");
  }
}

void check_probes(const std::vector<ProbeRecord>& probes, const std::string& where) {
  for (size_t i = 0; i < probes.size(); ++i) {
    const std::string row = "[" + std::to_string(i) + "]";
    for (const TokenSpan& span : probes[i].needle_spans) {
      check_span(where + "/needle_span" + row, span, probes[i].context_length);
    }
    for (const TokenSpan& span : probes[i].answer_spans) {
      check_span(where + "/answer_span" + row, span, probes[i].context_length);
    }
  }
}

void check_scores(const std::map<std::string, ScoreTable>& scores,
                  int64_t num_probes,
                  const ModelShape& shape,
                  const std::string& where) {
  const int64_t heads = shape.num_layers * shape.num_query_heads;
  for (const auto& [name, table] : scores) {
    const std::string place = where + "/" + name;
    check_group_name(where, name);
    check_size(place + "/samples", num_probes * heads, ssize(table.samples));
    check_size(place + "/mean layers", shape.num_layers, table.mean.num_layers);
    check_size(place + "/mean heads", shape.num_query_heads, table.mean.num_heads);
    check_size(place + "/mean", heads, ssize(table.mean.values));
  }
}

using Spans = std::vector<TokenSpan> ProbeRecord::*;

// The first span of every probe, [0, 0) where it has none.
void write_first_spans(Hdf5Writer& file,
                       const std::string& name,
                       const std::vector<ProbeRecord>& probes,
                       Spans field) {
  std::vector<int64_t> values;
  for (const ProbeRecord& probe : probes) {
    const TokenSpan first = (probe.*field).empty() ? TokenSpan{} : (probe.*field).front();
    values.push_back(first.begin);
    values.push_back(first.end);
  }
  file.dataset(name, std::span<const int64_t>(values), {ssize(probes), 2});
}

void read_first_spans(const Hdf5Reader& file,
                      const std::string& name,
                      std::vector<ProbeRecord>& probes,
                      Spans field) {
  const auto values = file.read<int64_t>(name, {ssize(probes), 2});
  for (size_t i = 0; i < probes.size(); ++i) {
    const TokenSpan span{values[2 * i], values[2 * i + 1]};
    if (span != TokenSpan{}) (probes[i].*field).push_back(span);
  }
}

// Every further span: rows of (probe, 0 for the needle or 1 for the answer, begin, end). Absent
// where no probe has any.
void write_further_spans(Hdf5Writer& file,
                         const std::string& name,
                         const std::vector<ProbeRecord>& probes) {
  std::vector<int64_t> rows;
  for (size_t i = 0; i < probes.size(); ++i) {
    int64_t kind = 0;
    for (const Spans field : {&ProbeRecord::needle_spans, &ProbeRecord::answer_spans}) {
      const std::vector<TokenSpan>& spans = probes[i].*field;
      for (size_t s = 1; s < spans.size(); ++s) {
        rows.insert(rows.end(), {static_cast<int64_t>(i), kind, spans[s].begin, spans[s].end});
      }
      ++kind;
    }
  }
  if (!rows.empty()) file.dataset(name, std::span<const int64_t>(rows), {ssize(rows) / 4, 4});
}

void read_further_spans(const Hdf5Reader& file,
                        const std::string& name,
                        std::vector<ProbeRecord>& probes) {
  if (!file.has(name)) return;
  const auto rows = file.read<int64_t>(name, {-1, 4});
  for (size_t at = 0; at + 3 < rows.size(); at += 4) {
    if (rows[at] < 0 || rows[at] >= ssize(probes) || rows[at + 1] < 0 || rows[at + 1] > 1) {
      throw InputError(name + "[" + std::to_string(at / 4) + "]",
                       "a probe of 0 to " + std::to_string(ssize(probes) - 1) + " and kind 0 or 1",
                       std::to_string(rows[at]) + ", " + std::to_string(rows[at + 1]));
    }
    ProbeRecord& probe = probes[static_cast<size_t>(rows[at])];
    auto& spans = rows[at + 1] == 0 ? probe.needle_spans : probe.answer_spans;
    spans.push_back({rows[at + 2], rows[at + 3]});
  }
}

// Calls `column(name, member)` for every plain column of the table.
template <typename Column>
void for_each_column(Column column) {
  column("/id", &ProbeRecord::id);
  column("/family", &ProbeRecord::family);
  column("/needle_id", &ProbeRecord::needle_id);
  column("/prompt_format", &ProbeRecord::prompt_format);
  column("/context_length", &ProbeRecord::context_length);
  column("/asked_depth", &ProbeRecord::asked_depth);
  column("/achieved_depth", &ProbeRecord::achieved_depth);
  column("/answer", &ProbeRecord::answer);
  column("/response", &ProbeRecord::response);
  column("/gate_value", &ProbeRecord::gate_value);
  column("/prompt_hash", &ProbeRecord::prompt_hash);
}

void write_probes(Hdf5Writer& file,
                  const std::string& group,
                  const std::vector<ProbeRecord>& probes) {
  for_each_column(
      [&](const char* name, auto field) { write_column(file, group + name, probes, field); });
  write_first_spans(file, group + "/needle_span", probes, &ProbeRecord::needle_spans);
  write_first_spans(file, group + "/answer_span", probes, &ProbeRecord::answer_spans);
  write_further_spans(file, group + "/further_spans", probes);
  write_flags(file, group + "/success", probes, &ProbeRecord::success);
}

std::vector<ProbeRecord> read_probes(const Hdf5Reader& file, const std::string& group) {
  const size_t count = file.read<int64_t>(group + "/id", {-1}).size();
  std::vector<ProbeRecord> probes(count);
  for_each_column(
      [&](const char* name, auto field) { read_column(file, group + name, probes, field); });
  read_first_spans(file, group + "/needle_span", probes, &ProbeRecord::needle_spans);
  read_first_spans(file, group + "/answer_span", probes, &ProbeRecord::answer_spans);
  read_further_spans(file, group + "/further_spans", probes);
  read_flags(file, group + "/success", probes, &ProbeRecord::success);
  return probes;
}

void write_scores(Hdf5Writer& file,
                  const std::string& parent,
                  const std::map<std::string, ScoreTable>& scores,
                  int64_t num_probes,
                  const ModelShape& shape) {
  file.group(parent);
  for (const auto& [name, table] : scores) {
    const std::string group = parent + "/" + name;
    file.dataset(group + "/samples", std::span<const float>(table.samples),
                 {num_probes, shape.num_layers, shape.num_query_heads});
    file.dataset(group + "/mean", std::span<const double>(table.mean.values),
                 {shape.num_layers, shape.num_query_heads});
  }
}

std::map<std::string, ScoreTable> read_scores(const Hdf5Reader& file,
                                              const std::string& parent,
                                              int64_t num_probes,
                                              const ModelShape& shape) {
  std::map<std::string, ScoreTable> scores;
  for (const std::string& name : file.children(parent)) {
    ScoreTable& table = scores[name];
    table.samples = file.read<float>(parent + "/" + name + "/samples",
                                     {num_probes, shape.num_layers, shape.num_query_heads});
    table.mean.num_layers = shape.num_layers;
    table.mean.num_heads = shape.num_query_heads;
    table.mean.values =
        file.read<double>(parent + "/" + name + "/mean", {shape.num_layers, shape.num_query_heads});
  }
  return scores;
}

}  // namespace

void check_profile(const HeadProfile& profile, const std::string& where) {
  check_shape(profile.model.shape, where + ": model");
  check_probes(profile.probes, where + ": probes");
  check_scores(profile.scores, ssize(profile.probes), profile.model.shape, where + ": scores");
  check_probes(profile.controls.probes, where + ": controls/probes");
  check_scores(profile.controls.scores, ssize(profile.controls.probes), profile.model.shape,
               where + ": controls/scores");
  for (const auto& [name, curves] : profile.error_curves) {
    check_group_name(where + ": error_curves", name);
    check_curves(curves, profile.model.shape, where + ": error_curves/" + name);
  }
}

HeadProfile read_profile(const std::filesystem::path& path) {
  const Hdf5Reader file(path);
  check_header(file, kProfileFormat);
  HeadProfile profile;
  profile.model = read_model(file);
  profile.provenance = read_provenance(file);
  profile.probes = read_probes(file, "probes");
  const ModelShape& shape = profile.model.shape;
  profile.scores = read_scores(file, "scores", ssize(profile.probes), shape);
  if (file.has("controls")) {
    ControlTable& controls = profile.controls;
    controls.probes = read_probes(file, "controls/probes");
    controls.scores = read_scores(file, "controls/scores", ssize(controls.probes), shape);
  }
  for (const std::string& name : file.children("error_curves")) {
    profile.error_curves[name] = read_curves(file, "error_curves/" + name, shape);
  }
  check_profile(profile, path.string());
  return profile;
}

void write_profile(const HeadProfile& profile, const std::filesystem::path& path, bool overwrite) {
  try {
    check_profile(profile, "profile");
  } catch (const InputError& error) {
    throw std::invalid_argument(error.what());
  }
  const ModelShape& shape = profile.model.shape;
  Hdf5Writer file(path, overwrite);
  write_header(file, kProfileFormat, kProfileFormatVersion);
  write_model(file, profile.model);
  write_probes(file, "probes", profile.probes);
  write_scores(file, "scores", profile.scores, ssize(profile.probes), shape);
  if (!profile.controls.probes.empty()) {
    const ControlTable& controls = profile.controls;
    file.group("controls");
    write_probes(file, "controls/probes", controls.probes);
    write_scores(file, "controls/scores", controls.scores, ssize(controls.probes), shape);
  }
  file.group("error_curves");
  for (const auto& [name, curves] : profile.error_curves) {
    write_curves(file, "error_curves/" + name, curves, shape);
  }
  // Last, so that what differs between two equal runs moves nothing else.
  write_provenance(file, profile.provenance);
  file.commit();
}

}  // namespace headscope::outputs
