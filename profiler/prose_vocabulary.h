// The words and sentence patterns of the built-in prose. In a pattern {slot} stands for one of the
// slot's phrases, which may hold slots in turn. Slots without a list are about the people of the
// scene: {P} {he} {his} {him} {trade} the first, {Q} {qhe} {qhis} {qhim} {qtrade} the second;
// {place} where the scene is set, {town} the town.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace headscope::profiler {

// Sentences of narrative, and sentences of talk.
[[nodiscard]] const std::vector<std::string>& narrative_patterns();
[[nodiscard]] const std::vector<std::string>& dialogue_patterns();
[[nodiscard]] const std::vector<std::string>& opening_patterns();  // first in a scene

// Slot name -> its phrases.
[[nodiscard]] const std::map<std::string, std::vector<std::string>>& vocabulary();

[[nodiscard]] const std::vector<std::string>& womens_names();
[[nodiscard]] const std::vector<std::string>& mens_names();
[[nodiscard]] const std::vector<std::string>& surnames();
[[nodiscard]] const std::vector<std::string>& trades();
[[nodiscard]] const std::vector<std::string>& scene_places();  // "the mill"
[[nodiscard]] const std::vector<std::string>& town_names();

}  // namespace headscope::profiler
