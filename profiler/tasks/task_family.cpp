#include "profiler/tasks/task_family.h"

#include <algorithm>
#include <stdexcept>

namespace headscope::profiler {
namespace {

const std::vector<std::string>& first_names() {
  static const std::vector<std::string> names{
      "Amara",  "Bruno",  "Chiara",  "Diego",  "Elena",  "Farid",   "Gita",   "Hassan",
      "Ivana",  "Jorge",  "Kenji",   "Lucia",  "Mehmet", "Nadia",   "Omar",   "Priya",
      "Rosa",   "Sven",   "Tamara",  "Yusuf",  "Aisha",  "Boris",   "Carmen", "Dmitri",
      "Fatima", "Giulia", "Hiroshi", "Ingrid", "Javier", "Katarina"};
  return names;
}

const std::vector<std::string>& last_names() {
  static const std::vector<std::string> names{
      "Okafor", "Silva",  "Rossi",   "Garcia", "Petrov", "Khan",    "Sharma",
      "Tanaka", "Lopez",  "Kim",     "Nguyen", "Santos", "Ferrari", "Haddad",
      "Novak",  "Jensen", "Morales", "Suzuki", "Costa",  "Ivanov",  "Mendoza",
      "Patel",  "Larsen", "Romero",  "Yamada", "Torres", "Nasser",  "Moretti"};
  return names;
}

}  // namespace

std::vector<std::string> Draw::pick_different(std::vector<std::string> items, size_t count) {
  if (count > items.size()) {
    throw std::invalid_argument("pick_different: fewer items than asked for");
  }
  for (size_t i = 0; i < count; ++i) {
    std::swap(items[i], items[i + below(items.size() - i)]);
  }
  items.resize(count);
  return items;
}

std::vector<std::string> Draw::different_numbers(size_t count) {
  std::vector<std::string> numbers;
  while (numbers.size() < count) {
    std::string number = std::to_string(10000 + below(90000));
    if (std::find(numbers.begin(), numbers.end(), number) == numbers.end()) {
      numbers.push_back(std::move(number));
    }
  }
  return numbers;
}

std::vector<std::string> Draw::different_people(size_t count) {
  // No first name and no surname twice, so that each alone tells the people apart.
  const std::vector<std::string> first = pick_different(first_names(), count);
  const std::vector<std::string> last = pick_different(last_names(), count);
  std::vector<std::string> people;
  for (size_t i = 0; i < count; ++i) {
    people.push_back(first[i] + " " + last[i]);
  }
  return people;
}

std::string filled(std::string pattern, const std::vector<std::string>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    const std::string slot = "{" + std::to_string(i) + "}";
    for (size_t at = pattern.find(slot); at != std::string::npos;
         at = pattern.find(slot, at + values[i].size())) {
      pattern.replace(at, slot.size(), values[i]);
    }
  }
  return pattern;
}

std::string listed(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) {
    text += (text.empty() ? "" : ", ") + item;
  }
  return text;
}

void ask(Question& question,
         Draw& draw,
         Wording wording,
         const std::vector<AskedWords>& wordings,
         const std::vector<std::string>& values) {
  const size_t chosen = wording == Wording::kLiteral ? 0 : 1 + draw.below(wordings.size() - 1);
  question.question = filled(wordings[chosen].question, values);
  question.answer_prefix = filled(wordings[chosen].answer_prefix, values);
}

}  // namespace headscope::profiler
