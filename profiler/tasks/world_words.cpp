#include "profiler/tasks/world_words.h"

namespace headscope::profiler {

const std::vector<std::string>& world_professions() {
  static const std::vector<std::string> names{"pilot",  "dentist", "lawyer",  "chef",
                                              "nurse",  "dancer",  "plumber", "sculptor",
                                              "banker", "actor",   "farmer",  "journalist"};
  return names;
}

const std::vector<std::string>& world_cities() {
  static const std::vector<std::string> names{"Lisbon", "Tokyo",  "Cairo",   "Oslo",
                                              "Madrid", "Boston", "Toronto", "Berlin",
                                              "Paris",  "Sydney", "Dublin",  "Moscow"};
  return names;
}

const std::vector<std::string>& world_pets() {
  static const std::vector<std::string> names{"parrot", "hamster",  "snake",    "rabbit",
                                              "poodle", "iguana",   "goldfish", "pony",
                                              "ferret", "tortoise", "canary",   "llama"};
  return names;
}

}  // namespace headscope::profiler
