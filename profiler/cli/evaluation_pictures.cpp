#include "profiler/cli/evaluation_pictures.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "outputs/evaluation_file.h"
#include "outputs/frontier_picture.h"
#include "outputs/input_error.h"
#include "outputs/niah_picture.h"
#include "profiler/evaluation_settings.h"

namespace headscope::cli {
namespace {

constexpr double kSameRetention = 1e-9;

std::string percent(double share) {
  char text[24];
  std::snprintf(text, sizeof text, "%.3g %%", 100.0 * share);
  return text;
}

bool has_depths(const Evaluation& evaluation) {
  return std::any_of(evaluation.samples.begin(), evaluation.samples.end(),
                     [](const EvaluationSample& sample) { return !std::isnan(sample.depth); });
}

template <typename Keep>
std::vector<const EvaluationSample*> filtered(std::vector<const EvaluationSample*> samples,
                                              Keep keep) {
  std::erase_if(samples, [&](const EvaluationSample* sample) { return !keep(*sample); });
  return samples;
}

// Samples that the picture asks for; its empty fields are filled in.
std::vector<const EvaluationSample*> samples_asked_for(const Evaluation& evaluation,
                                                       const std::string& path,
                                                       EvaluationPicture& picture) {
  std::vector<const EvaluationSample*> samples;
  for (const EvaluationSample& sample : evaluation.samples) {
    if (!std::isnan(sample.depth)) samples.push_back(&sample);
  }
  const auto narrow = [&](const std::string& what, auto keep) {
    samples = filtered(std::move(samples), keep);
    if (samples.empty()) throw InputError(path, "needles at given depths with " + what, "none");
  };
  narrow("any task", [](const EvaluationSample&) { return true; });
  if (picture.task.empty()) picture.task = samples.front()->task;
  narrow("task " + picture.task,
         [&](const EvaluationSample& sample) { return sample.task == picture.task; });
  if (picture.method.empty()) {
    const auto first = std::find_if(
        samples.begin(), samples.end(),
        [](const EvaluationSample* sample) { return sample->method != profiler::kFullCache; });
    picture.method = first == samples.end() ? profiler::kFullCache : (*first)->method;
  }
  narrow("method " + picture.method,
         [&](const EvaluationSample& sample) { return sample.method == picture.method; });
  if (picture.budget) {
    narrow(std::to_string(*picture.budget) + " tokens",
           [&](const EvaluationSample& sample) { return sample.budget_tokens == *picture.budget; });
    return samples;
  }
  if (!picture.retention) {
    picture.retention = (*std::min_element(samples.begin(), samples.end(), [](auto* a, auto* b) {
                          return a->retention < b->retention;
                        }))->retention;
  }
  narrow("retention " + percent(*picture.retention), [&](const EvaluationSample& sample) {
    return std::abs(sample.retention - *picture.retention) < kSameRetention;
  });
  return samples;
}

void draw_niah(const Evaluation& evaluation,
               EvaluationPicture picture,
               const std::string& path,
               const std::string& out,
               bool overwrite) {
  const auto samples = samples_asked_for(evaluation, path, picture);
  std::vector<outputs::NiahCell> cells;
  double sum = 0.0;
  for (const EvaluationSample* sample : samples) {
    cells.push_back({sample->context_length, sample->depth, sample->score});
    sum += sample->score;
  }
  char mean[16];
  std::snprintf(mean, sizeof mean, "%.2f", sum / static_cast<double>(samples.size()));
  const std::string kept = picture.budget ? std::to_string(*picture.budget) + " tokens per KV head"
                                          : percent(*picture.retention);
  outputs::NiahPictureOptions options;
  options.title = evaluation.model.name + " · " + picture.task + " · " + picture.method;
  options.subtitle = "kept " + kept + ", " + samples.front()->compression + ", " +
                     std::to_string(samples.size()) + " samples, mean score " + mean;
  options.score_label =
      samples.front()->metric.empty() ? "score" : samples.front()->metric + " score";
  outputs::write_niah_picture(cells, options, out, overwrite);
}

// A panel per task and context, in the order of the rows.
std::vector<outputs::FrontierPanel> frontier_panels(const Evaluation& evaluation) {
  std::vector<outputs::FrontierPanel> panels;
  for (const EvaluationRow& row : evaluation.rows) {
    const std::string title = row.task + ", " + std::to_string(row.context_length) + " tokens";
    auto panel = std::find_if(panels.begin(), panels.end(),
                              [&](const auto& known) { return known.title == title; });
    if (panel == panels.end()) {
      panel = panels.insert(panels.end(), {title, {1.0, std::nan(""), 0.0, 0.0}, {}});
    }
    const outputs::FrontierPoint point{row.retention, row.accuracy, row.ci_low, row.ci_high};
    if (row.method == profiler::kFullCache) {
      panel->full = point;
      continue;
    }
    auto line = std::find_if(panel->lines.begin(), panel->lines.end(),
                             [&](const auto& known) { return known.name == row.method; });
    if (line == panel->lines.end())
      line = panel->lines.insert(panel->lines.end(), {row.method, {}});
    line->points.push_back(point);
  }
  std::erase_if(panels, [](const auto& panel) { return panel.lines.empty(); });
  return panels;
}

void draw_frontier(const Evaluation& evaluation,
                   const std::string& path,
                   const std::string& out,
                   bool overwrite) {
  const auto panels = frontier_panels(evaluation);
  if (panels.empty()) throw InputError(path, "rows of at least one method beside full", "none");
  outputs::FrontierOptions options;
  options.title = evaluation.model.name + " · accuracy against what is kept";
  options.subtitle = evaluation.rows.front().compression + ", means with 95 % intervals";
  outputs::write_frontier_picture(panels, options, out, overwrite);
}

}  // namespace

void add_evaluation_picture_options(CLI::App& app, EvaluationPicture& picture) {
  app.add_option("--picture", picture.kind,
                 "Of an evaluation: niah (needles by depth and length) or frontier (accuracy "
                 "against what is kept)")
      ->check(CLI::IsMember({"niah", "frontier"}));
  app.add_option("--task", picture.task, "niah: which task (default: the first with depths)");
  app.add_option("--method", picture.method, "niah: which method (default: the first)");
  app.add_option("--retention", picture.retention, "niah: which size (default: the smallest)");
  app.add_option("--budget", picture.budget, "niah: the size in tokens per KV head");
}

void draw_evaluation(Session& session,
                     const EvaluationPicture& picture,
                     const std::string& path,
                     const std::string& out) {
  const Evaluation evaluation = outputs::read_evaluation(path);
  const bool is_niah = picture.kind.empty() ? has_depths(evaluation) : picture.kind == "niah";
  if (is_niah) {
    draw_niah(evaluation, picture, path, out, session.common.force);
  } else {
    draw_frontier(evaluation, path, out, session.common.force);
  }
  session.emit(Json{{"out", out}, {"picture", is_niah ? "niah" : "frontier"}}, "wrote " + out);
}

}  // namespace headscope::cli
