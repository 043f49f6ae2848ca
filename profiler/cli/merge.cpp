#include <string>
#include <vector>

#include "outputs/atomic_file.h"
#include "outputs/profile_file.h"
#include "profiler/cli/commands.h"
#include "profiler/cli/profile_result.h"
#include "profiler/profile_merge.h"

namespace headscope::cli {
namespace {

struct MergeCommand {
  std::vector<std::string> profiles;
  std::string out;
};

void run_merge(Session& session, const MergeCommand& command) {
  session.apply_common();
  outputs::check_output_path(command.out, session.common.force);
  std::vector<profiler::NamedProfile> profiles;
  for (const std::string& path : command.profiles) {
    profiles.push_back({path, outputs::read_profile(path)});
  }
  profiler::MergeOutcome merged = profiler::merge_profiles(profiles);
  const Provenance now = session.provenance();
  merged.profile.provenance.command = now.command;
  merged.profile.provenance.started = now.started;
  merged.profile.provenance.tool_version = now.tool_version;
  outputs::write_profile(merged.profile, command.out, session.common.force);
  session.console.message(std::to_string(merged.num_overlapping) +
                          " trials stood in more than one profile and count once");
  profiler::ProfileOutcome outcome;
  outcome.profile = std::move(merged.profile);
  emit_profile(session, outcome, command.out, {{"num_overlapping", merged.num_overlapping}});
}

}  // namespace

void setup_merge(CLI::App& app, Session& session) {
  auto command = std::make_shared<MergeCommand>();
  CLI::App* sub = app.add_subcommand("merge", "Puts profiles of one model together");
  sub->add_option("profiles", command->profiles, "Profiles (HDF5)")->required();
  sub->add_option("--out", command->out, "The profile to write (HDF5)")->required();
  add_common_options(*sub, session, {Takes::kOutput});
  sub->callback([command, &session] { run_merge(session, *command); });
}

}  // namespace headscope::cli
