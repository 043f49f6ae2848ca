#include "profiler/cli/method_settings.h"

#include "outputs/method_quirks.h"

namespace headscope::cli {

void add_method_settings(CLI::App& app, MethodSettings& settings) {
  std::string help = "An option of single methods, NAME=VALUE, comma-separated:";
  for (const outputs::Quirk& quirk : outputs::method_quirks()) {
    help += " " + std::string(quirk.name) + " (" + quirk.methods + ": " + quirk.meaning + ");";
  }
  help.back() = ' ';
  app.add_option("--set", settings.quirks, help)->delimiter(',');
  app.add_option("--index-sets", settings.index_sets,
                 "Which KV heads of a layer keep the same keys: own (as the method has it), layer "
                 "(one ranking for all) or kv_head (each its own)")
      ->capture_default_str();
  app.add_flag("--published-settings", settings.published,
               "Window, pooling and sinks of each method's own paper (default: one window and "
               "pooling for all)");
}

void apply_method_settings(const MethodSettings& settings, profiler::MethodOptions& options) {
  options.selection.index_sets = outputs::index_sets_from_name(settings.index_sets, "--index-sets");
  outputs::apply_settings(settings.quirks, "--set", options.selection.quirks);
  options.published_settings = settings.published;
}

std::map<std::string, std::string> stored_settings(const MethodSettings& settings) {
  std::map<std::string, std::string> stored;
  std::string quirks;
  for (const std::string& quirk : settings.quirks) quirks += (quirks.empty() ? "" : ",") + quirk;
  if (!quirks.empty()) stored["set"] = quirks;
  if (settings.index_sets != "own") stored["index_sets"] = settings.index_sets;
  if (settings.published) stored["published_settings"] = "true";
  return stored;
}

}  // namespace headscope::cli
