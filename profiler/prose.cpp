#include "profiler/prose.h"

#include <algorithm>
#include <stdexcept>

#include "profiler/prose_vocabulary.h"

namespace headscope::profiler {
namespace {

constexpr size_t kRecentPhrases = 60;  // picks during which a phrase does not come again

std::string capitalised(std::string text) {
  for (char& letter : text) {
    if (letter >= 'a' && letter <= 'z') {
      letter = static_cast<char>(letter - 'a' + 'A');
      break;
    }
    if (letter >= 'A' && letter <= 'Z') {
      break;
    }
  }
  return text;
}

std::string with_small_start(std::string text) {
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') {
    text[0] = static_cast<char>(text[0] - 'A' + 'a');
  }
  return text;
}

bool is_vowel(char letter) {
  return std::string("aeiouAEIOU").find(letter) != std::string::npos;
}

// "a old hat" -> "an old hat".
std::string with_articles(const std::string& text) {
  std::string fixed;
  for (size_t i = 0; i < text.size(); ++i) {
    fixed += text[i];
    const bool is_article = (text[i] == 'a' || text[i] == 'A') && i + 2 < text.size() &&
                            text[i + 1] == ' ' &&
                            (i == 0 || text[i - 1] == ' ' || text[i - 1] == '"');
    if (is_article && is_vowel(text[i + 2])) {
      fixed += 'n';
    }
  }
  return fixed;
}

bool take_suffix(std::string& slot, const std::string& suffix) {
  if (slot.size() <= suffix.size() || !slot.ends_with(suffix)) {
    return false;
  }
  slot.resize(slot.size() - suffix.size());
  return true;
}

}  // namespace

ProseWriter::ProseWriter(uint64_t seed) : random_(seed) {}

uint64_t ProseWriter::below(uint64_t bound) {
  return random_() % bound;
}

const std::string& ProseWriter::pick(const std::vector<std::string>& phrases) {
  // A short list may consist of recent phrases alone: then any will do.
  const std::string* chosen = nullptr;
  for (int attempt = 0; attempt < 8; ++attempt) {
    chosen = &phrases[below(phrases.size())];
    if (std::find(recent_.begin(), recent_.end(), chosen) == recent_.end()) {
      break;
    }
  }
  recent_.push_back(chosen);
  if (recent_.size() > kRecentPhrases) {
    recent_.pop_front();
  }
  return *chosen;
}

ProseWriter::Person ProseWriter::invent_person() {
  Person person;
  person.is_woman = below(2) == 0;
  person.name = pick(person.is_woman ? womens_names() : mens_names());
  person.full_name = person.name + " " + pick(surnames());
  person.trade = pick(trades());
  return person;
}

void ProseWriter::set_scene() {
  first_ = invent_person();
  do {
    second_ = invent_person();
  } while (second_.name == first_.name);
  place_ = pick(scene_places());
  town_ = pick(town_names());
  paragraphs_left_ = 6 + below(10);
}

std::string ProseWriter::fill_slot(const std::string& slot, bool first_mention) {
  const bool is_second = slot[0] == 'q' && slot != "question";
  const Person& person = slot == "Q" || is_second ? second_ : first_;
  const std::string plain = is_second ? slot.substr(1) : slot;
  if (plain == "P" || plain == "Q") {
    return first_mention ? person.full_name : person.name;
  }
  if (plain == "he") {
    return person.is_woman ? "she" : "he";
  }
  if (plain == "his") {
    return person.is_woman ? "her" : "his";
  }
  if (plain == "him") {
    return person.is_woman ? "her" : "him";
  }
  if (plain == "trade") {
    return person.trade;
  }
  if (plain == "place") {
    return place_;
  }
  if (plain == "town") {
    return town_;
  }
  const auto found = vocabulary().find(plain);
  if (found == vocabulary().end()) {
    throw std::logic_error("prose: no phrases for the slot " + slot);
  }
  return expand(pick(found->second));
}

std::string ProseWriter::expand(const std::string& pattern, bool first_mention) {
  std::string text;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '{') {
      text += pattern[i];
      continue;
    }
    const size_t close = pattern.find('}', i);
    std::string slot = pattern.substr(i + 1, close - i - 1);
    i = close;
    if (take_suffix(slot, "_cap")) {
      text += capitalised(fill_slot(slot, first_mention));
    } else if (vocabulary().count(slot) == 0 && take_suffix(slot, "_low")) {
      text += with_small_start(fill_slot(slot, first_mention));
    } else {
      text += fill_slot(slot, first_mention);
    }
  }
  return text;
}

std::string ProseWriter::write_sentence(const std::vector<std::string>& patterns, bool continues) {
  const bool changes_person = below(3) == 0;
  if (changes_person) {
    std::swap(first_, second_);
  }
  const bool is_opening = &patterns == &opening_patterns();
  std::string pattern = pick(patterns);
  if (continues && !changes_person && below(2) == 0 && pattern.starts_with("{P}")) {
    pattern.replace(0, 3, "{he}");
  }
  return capitalised(with_articles(expand(pattern, is_opening)));
}

std::string ProseWriter::next_paragraph() {
  std::string paragraph;
  if (paragraphs_left_ == 0) {
    set_scene();
    paragraph = write_sentence(opening_patterns(), /*continues=*/false);
  }
  --paragraphs_left_;
  const bool is_talk = below(3) == 0;
  const uint64_t more = 3 + below(5);
  for (uint64_t i = 0; i < more; ++i) {
    const bool speaks = below(10) < (is_talk ? 7U : 1U);
    const std::string next = write_sentence(speaks ? dialogue_patterns() : narrative_patterns(),
                                            /*continues=*/!paragraph.empty());
    paragraph += (paragraph.empty() ? "" : " ") + next;
  }
  return paragraph;
}

std::string write_prose(uint64_t seed, int64_t min_bytes) {
  ProseWriter writer(seed);
  std::string text;
  while (static_cast<int64_t>(text.size()) < min_bytes) {
    text += (text.empty() ? "" : "\n\n") + writer.next_paragraph();
  }
  return text;
}

}  // namespace headscope::profiler
