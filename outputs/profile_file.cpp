#include "outputs/profile_file.h"

#include <stdexcept>

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

// Names become groups: a slash would open another level.
void check_name(const std::string& place, const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos) {
    throw InputError(place, "a name without '/'", "'" + name + "'");
  }
}

void check_span(const std::string& place, const TokenSpan& span, int64_t context_length) {
  if (span.begin < 0 || span.end < span.begin || span.end > context_length) {
    throw InputError(place, "a span inside 0 to " + std::to_string(context_length),
                     "[" + std::to_string(span.begin) + ", " + std::to_string(span.end) + ")");
  }
}

void check_scores(const HeadProfile& profile, const std::string& where) {
  const ModelShape& shape = profile.model.shape;
  const int64_t heads = shape.num_layers * shape.num_query_heads;
  for (const auto& [name, table] : profile.scores) {
    const std::string place = where + ": scores/" + name;
    check_name(where + ": scores", name);
    check_size(place + "/samples", ssize(profile.probes) * heads, ssize(table.samples));
    check_size(place + "/mean layers", shape.num_layers, table.mean.num_layers);
    check_size(place + "/mean heads", shape.num_query_heads, table.mean.num_heads);
    check_size(place + "/mean", heads, ssize(table.mean.values));
  }
}

void check_error_curves(const HeadProfile& profile, const std::string& where) {
  const ModelShape& shape = profile.model.shape;
  for (const auto& [name, curves] : profile.error_curves) {
    const std::string place = where + ": error_curves/" + name;
    check_name(where + ": error_curves", name);
    for (size_t i = 0; i < curves.budgets.size(); ++i) {
      if (curves.budgets[i] < 1 || (i > 0 && curves.budgets[i] <= curves.budgets[i - 1])) {
        throw InputError(place + "/budgets", "ascending budgets of 1 token or more",
                         std::to_string(curves.budgets[i]) + " at " + std::to_string(i));
      }
    }
    const int64_t per_head = ssize(curves.budgets);
    const int64_t per_layer = shape.num_layers * per_head;
    const int64_t samples = ssize(curves.tasks) * per_layer;
    check_size(place + "/samples", samples, ssize(curves.samples));
    if (!curves.samples_summed.empty()) {
      check_size(place + "/samples_summed", samples, ssize(curves.samples_summed));
    }
    check_size(place + "/layer", per_layer, ssize(curves.layer));
    check_size(place + "/kv_head", per_layer * shape.num_kv_heads, ssize(curves.kv_head));
  }
}

void write_spans(Hdf5Writer& file,
                 const std::string& name,
                 const std::vector<ProbeRecord>& probes,
                 TokenSpan ProbeRecord::*field) {
  std::vector<int64_t> values;
  for (const ProbeRecord& probe : probes) {
    values.push_back((probe.*field).begin);
    values.push_back((probe.*field).end);
  }
  file.dataset(name, std::span<const int64_t>(values), {ssize(probes), 2});
}

void read_spans(const Hdf5Reader& file,
                const std::string& name,
                std::vector<ProbeRecord>& probes,
                TokenSpan ProbeRecord::*field) {
  const auto values = file.read<int64_t>(name, {ssize(probes), 2});
  for (size_t i = 0; i < probes.size(); ++i) {
    probes[i].*field = TokenSpan{values[2 * i], values[2 * i + 1]};
  }
}

// Calls `column(name, member)` for every plain column of the table.
template <typename Column>
void for_each_column(Column column) {
  column("probes/id", &ProbeRecord::id);
  column("probes/family", &ProbeRecord::family);
  column("probes/needle_id", &ProbeRecord::needle_id);
  column("probes/prompt_format", &ProbeRecord::prompt_format);
  column("probes/context_length", &ProbeRecord::context_length);
  column("probes/asked_depth", &ProbeRecord::asked_depth);
  column("probes/achieved_depth", &ProbeRecord::achieved_depth);
  column("probes/answer", &ProbeRecord::answer);
  column("probes/response", &ProbeRecord::response);
  column("probes/gate_value", &ProbeRecord::gate_value);
  column("probes/prompt_hash", &ProbeRecord::prompt_hash);
}

void write_probes(Hdf5Writer& file, const std::vector<ProbeRecord>& probes) {
  for_each_column([&](const char* name, auto field) { write_column(file, name, probes, field); });
  write_spans(file, "probes/needle_span", probes, &ProbeRecord::needle_span);
  write_spans(file, "probes/answer_span", probes, &ProbeRecord::answer_span);
  write_flags(file, "probes/success", probes, &ProbeRecord::success);
}

std::vector<ProbeRecord> read_probes(const Hdf5Reader& file) {
  const size_t count = file.read<int64_t>("probes/id", {-1}).size();
  std::vector<ProbeRecord> probes(count);
  for_each_column([&](const char* name, auto field) { read_column(file, name, probes, field); });
  read_spans(file, "probes/needle_span", probes, &ProbeRecord::needle_span);
  read_spans(file, "probes/answer_span", probes, &ProbeRecord::answer_span);
  read_flags(file, "probes/success", probes, &ProbeRecord::success);
  return probes;
}

void write_curves(Hdf5Writer& file,
                  const std::string& group,
                  const ErrorCurves& curves,
                  const ModelShape& shape) {
  const int64_t tasks = ssize(curves.tasks);
  const int64_t budgets = ssize(curves.budgets);
  const Dims per_task{tasks, shape.num_layers, budgets};
  file.dataset(group + "/budgets", std::span<const int64_t>(curves.budgets), {budgets});
  file.dataset(group + "/tasks", curves.tasks);
  file.dataset(group + "/samples", std::span<const float>(curves.samples), per_task);
  if (!curves.samples_summed.empty()) {
    file.dataset(group + "/samples_summed", std::span<const float>(curves.samples_summed),
                 per_task);
  }
  file.dataset(group + "/layer", std::span<const float>(curves.layer), {shape.num_layers, budgets});
  file.dataset(group + "/kv_head", std::span<const float>(curves.kv_head),
               {shape.num_layers, shape.num_kv_heads, budgets});
}

ErrorCurves read_curves(const Hdf5Reader& file, const std::string& group, const ModelShape& shape) {
  ErrorCurves curves;
  curves.budgets = file.read<int64_t>(group + "/budgets", {-1});
  curves.tasks = file.read<std::string>(group + "/tasks", {-1});
  const int64_t budgets = ssize(curves.budgets);
  const Dims per_task{ssize(curves.tasks), shape.num_layers, budgets};
  curves.samples = file.read<float>(group + "/samples", per_task);
  if (file.has(group + "/samples_summed")) {
    curves.samples_summed = file.read<float>(group + "/samples_summed", per_task);
  }
  curves.layer = file.read<float>(group + "/layer", {shape.num_layers, budgets});
  curves.kv_head =
      file.read<float>(group + "/kv_head", {shape.num_layers, shape.num_kv_heads, budgets});
  return curves;
}

}  // namespace

void check_profile(const HeadProfile& profile, const std::string& where) {
  check_shape(profile.model.shape, where + ": model");
  for (size_t i = 0; i < profile.probes.size(); ++i) {
    const ProbeRecord& probe = profile.probes[i];
    const std::string row = "[" + std::to_string(i) + "]";
    check_span(where + ": probes/needle_span" + row, probe.needle_span, probe.context_length);
    check_span(where + ": probes/answer_span" + row, probe.answer_span, probe.context_length);
  }
  check_scores(profile, where);
  check_error_curves(profile, where);
}

HeadProfile read_profile(const std::filesystem::path& path) {
  const Hdf5Reader file(path);
  check_header(file, kProfileFormat);
  HeadProfile profile;
  profile.model = read_model(file);
  profile.provenance = read_provenance(file);
  profile.probes = read_probes(file);
  const ModelShape& shape = profile.model.shape;
  for (const std::string& name : file.children("scores")) {
    ScoreTable& table = profile.scores[name];
    table.samples =
        file.read<float>("scores/" + name + "/samples",
                         {ssize(profile.probes), shape.num_layers, shape.num_query_heads});
    table.mean.num_layers = shape.num_layers;
    table.mean.num_heads = shape.num_query_heads;
    table.mean.values =
        file.read<double>("scores/" + name + "/mean", {shape.num_layers, shape.num_query_heads});
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
  write_probes(file, profile.probes);
  file.group("scores");
  for (const auto& [name, table] : profile.scores) {
    const std::string group = "scores/" + name;
    file.dataset(group + "/samples", std::span<const float>(table.samples),
                 {ssize(profile.probes), shape.num_layers, shape.num_query_heads});
    file.dataset(group + "/mean", std::span<const double>(table.mean.values),
                 {shape.num_layers, shape.num_query_heads});
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
