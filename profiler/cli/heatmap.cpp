#include "outputs/heatmap.h"

#include "analysis/head_ranking.h"
#include "outputs/atomic_file.h"
#include "outputs/file_kind.h"
#include "outputs/input_error.h"
#include "outputs/profile_file.h"
#include "outputs/retained_picture.h"
#include "outputs/retained_tokens.h"
#include "profiler/cli/commands.h"
#include "profiler/cli/evaluation_pictures.h"
#include "profiler/cli/retained_report.h"

namespace headscope::cli {
namespace {

struct HeatmapCommand {
  std::string profile;
  std::string score = "srh";
  std::string out;
  int64_t mark_top = 0;
  EvaluationPicture evaluation;
};

// The score's unit, as the colour bar words it.
std::string score_label(const std::string& score) {
  if (score == "srh") return "mean attention mass on the needle";
  if (score == "retrieval") return "retrieval score (top-1 copies per answer token)";
  return score + " score";
}

// The prompt's text, coloured by how often each token was kept.
void draw_retained(const Session& session, const HeatmapCommand& command) {
  const outputs::RetainedTokens retained = outputs::read_retained(command.profile);
  outputs::write_retained_picture(retained, command.out, session.common.force);
  Json json{{"out", command.out}};
  std::string text = "wrote " + command.out;
  if (!retained.answer_positions.empty()) {
    json["answer_recall"] = outputs::answer_recall(retained);
    text += "\n" + recall_text(retained);
  }
  session.emit(json, text);
}

void run_heatmap(Session& session, const HeatmapCommand& command) {
  session.apply_common();
  outputs::check_output_path(command.out, session.common.force);
  const outputs::FileKind kind = outputs::describe_file(command.profile).kind;
  if (kind == outputs::FileKind::kEvaluation) {
    return draw_evaluation(session, command.evaluation, command.profile, command.out);
  }
  if (kind == outputs::FileKind::kRetained) {
    return draw_retained(session, command);
  }
  const HeadProfile profile = outputs::read_profile(command.profile);
  const auto table = profile.scores.find(command.score);
  if (table == profile.scores.end()) {
    std::string names;
    for (const auto& [name, unused] : profile.scores) names += (names.empty() ? "" : ", ") + name;
    throw InputError(command.profile, "a score among " + (names.empty() ? "none" : names),
                     command.score);
  }
  outputs::HeatmapOptions options;
  options.title = profile.model.name + " · " + command.score;
  options.subtitle = std::to_string(profile.probes.size()) + " probes, " +
                     std::to_string(profile.num_successful()) + " successful";
  options.score_label = score_label(command.score);
  options.query_group_size = profile.model.shape.query_group_size();
  const auto ranked = analysis::rank_heads(table->second.mean);
  for (size_t i = 0; i < static_cast<size_t>(command.mark_top) && i < ranked.size(); ++i) {
    options.marked.push_back(ranked[i].head);
  }
  options.marked_label = "top " + std::to_string(command.mark_top);
  outputs::write_heatmap(table->second.mean, options, command.out, session.common.force);
  session.emit(Json{{"out", command.out}}, "wrote " + command.out);
}

}  // namespace

void setup_heatmap(CLI::App& app, Session& session) {
  auto command = std::make_shared<HeatmapCommand>();
  CLI::App* sub = app.add_subcommand(
      "heatmap",
      "Draws a profile's heads (layer x head), an evaluation, or a prompt by what was kept of it");
  sub->add_option("profile", command->profile,
                  "The profile, an evaluation, or what generate --save-retained wrote")
      ->required();
  sub->add_option("--score", command->score, "Which score to draw")->capture_default_str();
  sub->add_option("--out", command->out, "PNG or SVG, by extension")->required();
  sub->add_option("--mark-top", command->mark_top, "Outline the N best heads")
      ->check(CLI::NonNegativeNumber);
  add_evaluation_picture_options(*sub, command->evaluation);
  add_common_options(*sub, session, {Takes::kOutput});
  sub->callback([command, &session] { run_heatmap(session, *command); });
}

}  // namespace headscope::cli
