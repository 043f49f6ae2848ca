#include "model/tokenizer_json_steps.h"

#include <utility>

#include "outputs/input_error.h"

namespace headscope::model {
namespace {

using nlohmann::json;

std::string found_in(const json& value) {
  if (value.is_structured()) {
    return "a JSON " + std::string(value.type_name()) + " of " + std::to_string(value.size());
  }
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  constexpr size_t kLongest = 60;
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "…";
  return std::string(value.type_name()) + " " + text;
}

Pattern read_pattern(const JsonEntry& entry) {
  if (entry.has("Regex")) return Pattern::regex(entry.at("Regex").text(), entry.where + ".Regex");
  const JsonEntry literal = entry.at("String");
  if (literal.text().empty()) literal.refuse("a text that is not empty");
  return Pattern::literal(literal.text());
}

std::string replacement_of(const JsonEntry& entry) {
  const JsonEntry replacement = entry.at("replacement");
  if (replacement.text().empty()) replacement.refuse("a text that is not empty");
  return replacement.text();
}

PrependScheme read_prepend_scheme(const JsonEntry& entry) {
  if (!entry.has("prepend_scheme")) {  // files of before there were schemes
    return entry.flag("add_prefix_space", true) ? PrependScheme::kAlways : PrependScheme::kNever;
  }
  const std::string& scheme = entry.at("prepend_scheme").text();
  if (scheme == "always") return PrependScheme::kAlways;
  if (scheme == "first") return PrependScheme::kFirst;
  if (scheme == "never") return PrependScheme::kNever;
  entry.at("prepend_scheme").refuse("always, first or never");
}

SplitBehavior read_behavior(const JsonEntry& entry) {
  const std::string& behavior = entry.text();
  if (behavior == "Removed") return SplitBehavior::kRemoved;
  if (behavior == "Isolated") return SplitBehavior::kIsolated;
  if (behavior == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (behavior == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (behavior == "Contiguous") return SplitBehavior::kContiguous;
  entry.refuse("Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

void add_normalizer(const JsonEntry& entry, std::vector<NormalizeStep>& steps) {
  const std::string& type = entry.at("type").text();
  if (type == "Sequence") {
    for (const JsonEntry& step : entry.at("normalizers").elements()) add_normalizer(step, steps);
  } else if (type == "NFC") {
    steps.push_back(unicode_form_step(UnicodeForm::kNfc));
  } else if (type == "NFD") {
    steps.push_back(unicode_form_step(UnicodeForm::kNfd));
  } else if (type == "NFKC") {
    steps.push_back(unicode_form_step(UnicodeForm::kNfkc));
  } else if (type == "NFKD") {
    steps.push_back(unicode_form_step(UnicodeForm::kNfkd));
  } else if (type == "Prepend") {
    steps.push_back(prepend_step(entry.at("prepend").text()));
  } else if (type == "Replace") {
    steps.push_back(replace_step(read_pattern(entry.at("pattern")), entry.at("content").text()));
  } else if (type == "Lowercase") {
    steps.push_back(lowercase_step());
  } else if (type == "Strip") {
    steps.push_back(strip_step(entry.flag("strip_left", true), entry.flag("strip_right", true)));
  } else {
    entry.at("type").refuse(
        "a supported normalizer (NFC, NFD, NFKC, NFKD, "
        "Prepend, Replace, Lowercase, Strip, "
        "Sequence)");
  }
}

void add_pre_tokenizer(const JsonEntry& entry, PreTokenizer& out) {
  const std::string& type = entry.at("type").text();
  if (type == "Sequence") {
    for (const JsonEntry& step : entry.at("pretokenizers").elements()) add_pre_tokenizer(step, out);
  } else if (type == "ByteLevel") {
    out.steps.push_back(
        byte_level_step(entry.flag("add_prefix_space", true), entry.flag("use_regex", true)));
    out.byte_level = true;
  } else if (type == "Split") {
    out.steps.push_back(split_step(read_pattern(entry.at("pattern")),
                                   read_behavior(entry.at("behavior")),
                                   entry.flag("invert", false)));
  } else if (type == "Digits") {
    const bool single = entry.flag("individual_digits", false);
    out.steps.push_back(split_step(Pattern::regex("\\p{N}", entry.where),
                                   single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous,
                                   /*invert=*/false));
  } else if (type == "Metaspace") {
    out.steps.push_back(metaspace_step(replacement_of(entry), read_prepend_scheme(entry),
                                       entry.flag("split", true)));
  } else {
    entry.at("type").refuse(
        "a supported pre-tokenizer (ByteLevel, Split, "
        "Digits, Metaspace, Sequence)");
  }
}

// Special tokens of a template stand before or behind its sequence A.
void add_template(const JsonEntry& entry, PostProcessing& post) {
  std::vector<int64_t> before;
  std::vector<int64_t> behind;
  bool seen_text = false;
  for (const JsonEntry& piece : entry.at("single").elements()) {
    if (piece.has("Sequence")) {
      seen_text = true;
      continue;
    }
    const JsonEntry name = piece.at("SpecialToken").at("id");
    const JsonEntry token = entry.at("special_tokens").at(name.text());
    for (const JsonEntry& id : token.at("ids").elements()) {
      (seen_text ? behind : before).push_back(id.integer());
    }
  }
  post.prefix.insert(post.prefix.begin(), before.begin(), before.end());
  post.suffix.insert(post.suffix.end(), behind.begin(), behind.end());
}

void add_post_processor(const JsonEntry& entry, PostProcessing& post) {
  const std::string& type = entry.at("type").text();
  if (type == "Sequence") {
    for (const JsonEntry& step : entry.at("processors").elements()) add_post_processor(step, post);
  } else if (type == "ByteLevel") {
    if (!entry.flag("trim_offsets", true)) return;
    post.trim_spans = true;
    post.keep_prefix_space = entry.flag("add_prefix_space", true);
  } else if (type == "TemplateProcessing") {
    add_template(entry, post);
  } else {
    entry.at("type").refuse("a supported post-processor (ByteLevel, TemplateProcessing, Sequence)");
  }
}

size_t read_count(const JsonEntry& entry) {
  if (entry.integer() < 0) entry.refuse("a count");
  return static_cast<size_t>(entry.integer());
}

void add_decoder(const JsonEntry& entry, std::vector<DecodeStep>& steps) {
  const std::string& type = entry.at("type").text();
  if (type == "Sequence") {
    for (const JsonEntry& step : entry.at("decoders").elements()) add_decoder(step, steps);
  } else if (type == "ByteLevel") {
    steps.push_back(byte_level_decode_step());
  } else if (type == "ByteFallback") {
    steps.push_back(byte_fallback_decode_step());
  } else if (type == "Fuse") {
    steps.push_back(fuse_decode_step());
  } else if (type == "Replace") {
    steps.push_back(
        replace_decode_step(read_pattern(entry.at("pattern")), entry.at("content").text()));
  } else if (type == "Strip") {
    steps.push_back(strip_decode_step(entry.at("content").text(), read_count(entry.at("start")),
                                      read_count(entry.at("stop"))));
  } else if (type == "Metaspace") {
    const bool strip_first = read_prepend_scheme(entry) != PrependScheme::kNever;
    steps.push_back(metaspace_decode_step(replacement_of(entry), strip_first));
  } else {
    entry.at("type").refuse(
        "a supported decoder (ByteLevel, ByteFallback, "
        "Fuse, Replace, Strip, Metaspace, "
        "Sequence)");
  }
}

}  // namespace

void JsonEntry::refuse(const std::string& expected) const {
  throw InputError(where, expected, found_in(*value));
}

bool JsonEntry::has(const std::string& key) const {
  return value->is_object() && value->contains(key) && !value->at(key).is_null();
}

JsonEntry JsonEntry::at(const std::string& key) const {
  if (!value->is_object()) refuse("an object");
  const auto member = value->find(key);
  if (member == value->end()) throw InputError(where, "an entry \"" + key + "\"", "none");
  return {&*member, where + "." + key};
}

std::vector<JsonEntry> JsonEntry::elements() const {
  if (!value->is_array()) refuse("a list");
  constexpr size_t kDeepest = 8192;  // of the written way: hundreds of levels, none needs ten
  if (where.size() > kDeepest) throw InputError("tokenizer: entries are nested too deeply");
  std::vector<JsonEntry> entries;
  for (const json& element : *value) {
    entries.push_back({&element, where + "[" + std::to_string(entries.size()) + "]"});
  }
  return entries;
}

const std::string& JsonEntry::text() const {
  if (!value->is_string()) refuse("a text");
  return value->get_ref<const std::string&>();
}

bool JsonEntry::flag(const std::string& key, bool otherwise) const {
  if (!has(key)) return otherwise;
  const JsonEntry member = at(key);
  if (!member.value->is_boolean()) member.refuse("true or false");
  return member.value->get<bool>();
}

int64_t JsonEntry::integer() const {
  if (!value->is_number_integer()) refuse("a whole number");
  return value->get<int64_t>();
}

std::vector<NormalizeStep> read_normalizer(const JsonEntry& entry) {
  std::vector<NormalizeStep> steps;
  if (!entry.value->is_null()) add_normalizer(entry, steps);
  return steps;
}

PreTokenizer read_pre_tokenizer(const JsonEntry& entry) {
  PreTokenizer pre_tokenizer;
  if (!entry.value->is_null()) add_pre_tokenizer(entry, pre_tokenizer);
  return pre_tokenizer;
}

PostProcessing read_post_processor(const JsonEntry& entry) {
  PostProcessing post;
  if (!entry.value->is_null()) add_post_processor(entry, post);
  return post;
}

std::vector<DecodeStep> read_decoder(const JsonEntry& entry) {
  std::vector<DecodeStep> steps;
  if (!entry.value->is_null()) add_decoder(entry, steps);
  return steps;
}

}  // namespace headscope::model
