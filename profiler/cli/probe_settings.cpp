#include "profiler/cli/probe_settings.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "outputs/input_error.h"

namespace headscope::cli {
namespace {

std::vector<profiler::ProbeSetting> read_file(const std::string& path) {
  std::ifstream file(path);
  if (!file.is_open()) throw InputError(path, "a readable file of probe settings", "none");
  try {
    const bool is_ini = std::filesystem::path(path).extension() == ".ini";
    const std::vector<CLI::ConfigItem> items =
        is_ini ? CLI::ConfigINI().from_config(file) : CLI::ConfigTOML().from_config(file);
    std::vector<profiler::ProbeSetting> settings;
    for (const CLI::ConfigItem& item : items) {
      const bool is_section_mark = item.name == "++" || item.name == "--";  // CLI11's own
      if (!is_section_mark) settings.push_back({item.fullname(), item.inputs});
    }
    return settings;
  } catch (const CLI::Error& error) {
    throw InputError(path, "probe settings in TOML or INI", error.what());
  }
}

bool was_given(const ProbeOptions& options, const std::string& key) {
  const CLI::Option* option =
      options.app == nullptr ? nullptr : options.app->get_option_no_throw("--" + key);
  return option != nullptr && option->count() > 0;
}

// A length given wins over a range of the settings, and a range given over their lengths.
bool is_overridden(const ProbeOptions& options, const std::string& key) {
  const bool range_given = was_given(options, "context-range");
  return was_given(options, key) ||
         (key == "context-range" && was_given(options, "context-lengths")) ||
         (key == "context-lengths" && range_given);
}

}  // namespace

std::vector<profiler::ProbeSetting> read_probe_settings(const std::string& name) {
  std::string known;
  for (const profiler::ProbePreset& preset : profiler::probe_presets()) {
    if (preset.name == name) return preset.settings;
    known += preset.name + ", ";
  }
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(name, ignored)) {
    throw InputError("--probes", known + "or a file of settings", name);
  }
  return read_file(name);
}

void apply_settings(const std::vector<profiler::ProbeSetting>& settings,
                    const std::string& name,
                    ProbeOptions& options) {
  // The very options of the command line read the values, so keys, checks and meaning are theirs.
  CLI::App reader;
  ProbeOptions read = options;
  add_probe_options(reader, read);
  reader.remove_option(reader.get_option("--probes"));
  for (const auto& [key, values] : settings) {
    CLI::Option* option = key == "help" ? nullptr : reader.get_option_no_throw("--" + key);
    if (option == nullptr) {
      std::string known;
      for (const CLI::Option* one : reader.get_options()) {
        const std::string its_name = one->get_name().substr(2);
        if (its_name != "help") known += (known.empty() ? "" : ", ") + its_name;
      }
      throw InputError(name, "keys among " + known, "\"" + key + "\"");
    }
    if (is_overridden(options, key)) continue;
    try {
      for (const std::string& value : values) option->add_result(value);
      option->run_callback();
    } catch (const CLI::Error& error) {
      throw InputError(name + ", " + key, "values of --" + key, error.what());
    }
  }
  CLI::App* const app = options.app;
  options = std::move(read);
  options.app = app;
}

}  // namespace headscope::cli
