#include "analysis/head_ranking.h"
#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "outputs/interop/head_order.h"
#include "outputs/profile_file.h"
#include "profiler/cli/commands.h"

namespace headscope::cli {
namespace {

struct ConvertOptions {
  std::string in;
  std::string to;
  std::string out;
  std::string score = "srh";
};

void run_convert(Session& session, const ConvertOptions& options) {
  session.apply_common();
  outputs::check_output_path(options.out, session.common.force);
  const HeadProfile profile = outputs::read_profile(options.in);
  const auto table = profile.scores.find(options.score);
  if (table == profile.scores.end())
    throw InputError(options.in, "a score " + options.score, "none");
  std::vector<std::string> warnings;
  if (profile.num_successful() == 0)
    warnings.push_back("no probe succeeded: the order means nothing");
  outputs::write_head_order(analysis::rank_heads_per_layer(table->second.mean), options.out,
                            session.common.force);
  std::string text = "wrote " + options.out;
  for (const std::string& warning : warnings) {
    text += "\nwarning: " + warning;
  }
  session.emit(Json{{"out", options.out}, {"warnings", warnings}}, text);
}

}  // namespace

void setup_convert(CLI::App& app, Session& session) {
  auto options = std::make_shared<ConvertOptions>();
  CLI::App* sub = app.add_subcommand("convert", "Writes a profile in another project's format");
  sub->add_option("in", options->in, "The profile")->required();
  sub->add_option("--to", options->to, "head-order: layer -> query heads, best first (CompressKV)")
      ->required()
      ->check(CLI::IsMember({"head-order"}));
  sub->add_option("--out", options->out, "The file to write")->required();
  sub->add_option("--score", options->score, "Which score orders the heads")->capture_default_str();
  add_common_options(*sub, session, {Takes::kOutput});
  sub->callback([options, &session] { run_convert(session, *options); });
}

}  // namespace headscope::cli
