#include "profiler/needle.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <utility>

#include "analysis/seeded_shuffle.h"
#include "outputs/input_error.h"

namespace headscope::profiler {
namespace {

// What a needle says of its subject: "The <attribute> of the <subject> is <answer>."
const std::vector<std::string>& number_attributes() {
  static const std::vector<std::string> attributes{"secret access code", "inventory number",
                                                   "security code", "registration number"};
  return attributes;
}

const std::vector<std::string>& word_attributes() {
  static const std::vector<std::string> attributes{"secret password", "code name", "hidden keyword",
                                                   "watchword"};
  return attributes;
}

// 25 x 24 subjects. None of these pairs is a place of the built-in prose.
const std::vector<std::string>& subject_qualities() {
  static const std::vector<std::string> qualities{
      "northern", "southern", "crimson",  "silver",   "royal",   "abandoned", "floating",
      "golden",   "hidden",   "frozen",   "imperial", "coastal", "lunar",     "marble",
      "emerald",  "twisted",  "silent",   "eastern",  "western", "ivory",     "desert",
      "arctic",   "scarlet",  "obsidian", "amber"};
  return qualities;
}

const std::vector<std::string>& subject_nouns() {
  static const std::vector<std::string> nouns{
      "lighthouse", "observatory", "museum",  "fortress",    "submarine", "laboratory",
      "warehouse",  "cathedral",   "airport", "monastery",   "shipyard",  "refinery",
      "embassy",    "aquarium",    "stadium", "planetarium", "bunker",    "greenhouse",
      "casino",     "hospital",    "factory", "temple",      "vault",     "academy"};
  return nouns;
}

Needle make_needle(const std::string& family,
                   const std::string& attribute,
                   const std::string& subject,
                   const std::string& answer) {
  Needle needle;
  needle.family = family;
  needle.answer_prefix = "The " + attribute + " of the " + subject + " is";
  needle.statement = needle.answer_prefix + " " + answer + ".";
  needle.question = "What is the " + attribute + " of the " + subject + "?";
  needle.real_needle = answer;
  needle.answer = answer;
  needle.subject = subject;
  return needle;
}

// What else an attribute may be called.
const std::string& synonym_of(const std::string& attribute) {
  static const std::map<std::string, std::string> synonyms{
      {"secret access code", "entry number"}, {"inventory number", "stock list figure"},
      {"security code", "alarm number"},      {"registration number", "official record"},
      {"secret password", "passphrase"},      {"code name", "alias"},
      {"hidden keyword", "concealed word"},   {"watchword", "motto"}};
  return synonyms.at(attribute);
}

// In other words, of which there are three.
void paraphrase(Needle& needle, const std::string& attribute, uint64_t choice) {
  const std::string& name = synonym_of(attribute);
  switch (choice % 3) {
    case 0:
      needle.question = "Tell me the " + name + " that belongs to the " + needle.subject + ".";
      needle.answer_prefix = "The " + name + " that belongs to the " + needle.subject + " is";
      break;
    case 1:
      needle.question = "Which " + name + " does the " + needle.subject + " have?";
      needle.answer_prefix = "The " + needle.subject + " has as its " + name;
      break;
    default:
      needle.question = "What does the text give as " + name + ", for the " + needle.subject + "?";
      needle.answer_prefix = "For the " + needle.subject + ", the " + name + " is";
  }
  needle.family += "-paraphrased";
}

// 10000..99999, none twice.
std::string next_number(std::mt19937_64& random, std::set<uint64_t>& used) {
  for (;;) {
    const uint64_t number = 10000 + random() % 90000;
    if (used.insert(number).second) {
      return std::to_string(number);
    }
  }
}

std::string padded(int64_t number) {
  std::string digits = std::to_string(number);
  return std::string(digits.size() < 3 ? 3 - digits.size() : 0, '0') + digits;
}

void check_request(int64_t count, const std::vector<std::string>& families, int64_t available) {
  if (count < 1 || count > available) {
    throw InputError("built-in needles", "1 to " + std::to_string(available), std::to_string(count),
                     "For more, give a needle file with --needles.");
  }
  const std::vector<std::string> known = needle_families();
  if (families.empty()) {
    throw InputError("built-in needles", "at least one family", "none");
  }
  for (const std::string& family : families) {
    if (std::find(known.begin(), known.end(), family) == known.end()) {
      throw InputError("built-in needles", "the family number or word", "\"" + family + "\"");
    }
  }
}

char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

std::vector<Needle> make_needles(int64_t count,
                                 uint64_t seed,
                                 const std::vector<std::string>& families,
                                 bool is_paraphrased) {
  std::mt19937_64 random(seed);
  std::vector<std::string> subjects = needle_subjects();
  analysis::seeded_shuffle(subjects, random);
  check_request(count, families, static_cast<int64_t>(subjects.size()));
  std::vector<std::string> words = needle_answer_words();
  analysis::seeded_shuffle(words, random);

  std::vector<Needle> needles;
  std::set<uint64_t> used_numbers;
  size_t words_given = 0;
  for (int64_t i = 0; i < count; ++i) {
    const std::string& family = families[static_cast<size_t>(i) % families.size()];
    const bool is_number = family == "number";
    const std::vector<std::string>& attributes =
        is_number ? number_attributes() : word_attributes();
    const std::string& attribute = attributes[random() % attributes.size()];
    const std::string answer =
        is_number ? next_number(random, used_numbers) : words[words_given++ % words.size()];
    needles.push_back(make_needle(family, attribute, subjects[static_cast<size_t>(i)], answer));
    needles.back().id = family + "-" + padded(i);
    if (is_paraphrased) {
      paraphrase(needles.back(), attribute, seed + static_cast<uint64_t>(i) / families.size());
    }
  }
  return needles;
}

}  // namespace

std::vector<std::string> needle_families() {
  return {"number", "word"};
}

const std::vector<std::string>& needle_answer_words() {
  static const std::vector<std::string> words{
      "tiger",    "elephant", "banana",  "dragon",    "rocket",  "volcano",  "penguin",
      "dolphin",  "guitar",   "piranha", "zebra",     "crystal", "pepper",   "monkey",
      "tornado",  "diamond",  "pirate",  "chocolate", "lemon",   "cactus",   "violin",
      "turtle",   "jaguar",   "galaxy",  "whale",     "robot",   "spider",   "pyramid",
      "trumpet",  "mango",    "panther", "comet",     "falcon",  "shark",    "tomato",
      "sapphire", "dinosaur", "lizard",  "coconut",   "eagle",   "kangaroo", "octopus",
      "lobster",  "unicorn",  "vanilla", "scorpion",  "gorilla", "cinnamon"};
  return words;
}

std::vector<Needle> built_in_needles(int64_t count,
                                     uint64_t seed,
                                     const std::vector<std::string>& families) {
  return make_needles(count, seed, families, /*is_paraphrased=*/false);
}

std::vector<Needle> paraphrased_needles(int64_t count,
                                        uint64_t seed,
                                        const std::vector<std::string>& families) {
  return make_needles(count, seed, families, /*is_paraphrased=*/true);
}

const std::vector<std::string>& needle_subjects() {
  static const std::vector<std::string> subjects = [] {
    std::vector<std::string> all;
    for (const std::string& quality : subject_qualities()) {
      for (const std::string& noun : subject_nouns()) {
        all.push_back(quality + " " + noun);
      }
    }
    return all;
  }();
  return subjects;
}

int64_t find_answer(const std::string& statement, const std::string& real_needle) {
  const auto found =
      std::search(statement.begin(), statement.end(), real_needle.begin(), real_needle.end(),
                  [](char a, char b) { return lower(a) == lower(b); });
  const bool is_there = found != statement.end() && !real_needle.empty();
  return is_there ? found - statement.begin() : -1;
}

}  // namespace headscope::profiler
