// The program: builds the command line, runs one subcommand, turns what went wrong into the exit
// codes of docs/cli.md.
#include <c10/util/Exception.h>

#include <new>

#include "model/freed_memory.h"
#include "outputs/input_error.h"
#include "profiler/cli/commands.h"
#include "profiler/rank_group.h"

namespace {

enum ExitCode {
  kOk = 0,
  kBadInput = 2,
  kDevice = 3,
  kModelMismatch = 4,
  kOurBug = 70,
  kInterrupted = 130
};

int run(int argc, char** argv, headscope::cli::Session& session) {
  CLI::App app(
      "Profiles the attention heads of decoder LLMs, plans their KV-cache budgets and applies "
      "the plans.",
      "headscope");
  app.set_version_flag("--version", std::string("headscope ") + HEADSCOPE_VERSION);
  app.set_config("--config", "", "Options from a file (INI or TOML; flags win)");
  app.require_subcommand(1);
  app.fallthrough();
  using namespace headscope::cli;
  for (const auto setup :
       {setup_inspect, setup_tokenize, setup_trace, setup_generate, setup_profile, setup_merge,
        setup_calibrate, setup_check_plan, setup_plan, setup_heatmap, setup_evaluate, setup_ablate,
        setup_selftest, setup_convert, setup_tune}) {
    setup(app, session);
  }
  // CLI11 would only say that a command is missing.
  if (argc > 1 && argv[1][0] != '-') {
    std::string names;
    bool known = false;
    for (const CLI::App* sub : app.get_subcommands(nullptr)) {
      names += (names.empty() ? "" : ", ") + sub->get_name();
      known = known || sub->get_name() == argv[1];
    }
    if (!known) throw headscope::InputError("headscope", "a command among " + names, argv[1]);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    if (problem.get_exit_code() == 0) return app.exit(problem);  // --help, --version
    session.console.error(
        std::string(problem.what()) + "\nRun headscope" +
        (app.get_subcommands().empty() ? "" : " " + app.get_subcommands()[0]->get_name()) +
        " --help for the options.");
    return kBadInput;
  }
  return kOk;
}

}  // namespace

int main(int argc, char** argv) {
  headscope::cli::take_interrupts();
  headscope::model::keep_freed_memory();
  headscope::cli::Session session(argc, argv);
  try {
    return run(argc, argv, session);
  } catch (const headscope::ModelMismatch& problem) {
    session.console.error(problem.what());
    return kModelMismatch;
  } catch (const headscope::InputError& problem) {
    session.console.error(problem.what());
    return kBadInput;
  } catch (const headscope::cli::DeviceError& problem) {
    session.console.error(problem.what());
    return kDevice;
  } catch (const headscope::cli::Interrupted& problem) {
    session.console.error(problem.what());
    return kInterrupted;
  } catch (const headscope::profiler::RankLost& problem) {
    session.console.error(problem.what());
    return kInterrupted;
  } catch (const c10::OutOfMemoryError& problem) {
    session.console.error(std::string("out of device memory: ") + problem.what_without_backtrace() +
                          "\n--dry-run says what a run needs.");
    return kDevice;
  } catch (const std::bad_alloc&) {
    session.console.error("out of memory. --dry-run says what a run needs.");
    return kDevice;
  } catch (const std::exception& problem) {
    const std::string what = problem.what();
    // LibTorch's CPU allocator throws a plain error.
    if (what.find("DefaultCPUAllocator") != std::string::npos) {
      session.console.error("out of memory. --dry-run says what a run needs.");
      return kDevice;
    }
    session.console.error("internal error, please report it: " + what);
    return kOurBug;
  }
}
