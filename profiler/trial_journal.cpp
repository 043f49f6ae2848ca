#include "profiler/trial_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "outputs/atomic_file.h"
#include "outputs/input_error.h"
#include "outputs/sha256.h"

namespace headscope::profiler {
namespace {

using Json = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little, "journals are little endian");

constexpr std::string_view kMagic = "headscope.trials 1\n";
constexpr size_t kDigestSize = 64;
constexpr size_t kLengthSize = sizeof(uint64_t);

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& found) {
  throw InputError(path.string(), "the trials of an unfinished run", found,
                   "Delete the file to start afresh.");
}

[[noreturn]] void fail_to_write(const std::filesystem::path& path, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  throw InputError(path.string(), full ? "room for the trials" : "a writable place for the trials",
                   std::strerror(error),
                   full ? "Free some space and run the same command again: what is in the file is "
                          "not run a second time."
                        : "Choose a folder that can be written.");
}

std::string encode_trials(const std::vector<Trial>& trials) {
  Json scores = Json::array();
  size_t heads = 0;
  for (const auto& [name, samples] : trials.front().samples) {
    scores.push_back(name);
    heads = samples.size();
  }
  Json entries = Json::array();
  std::string floats;
  for (const Trial& trial : trials) {
    entries.push_back(
        {{"address", trial.address}, {"response", trial.response}, {"gate", trial.gate_value}});
    for (const auto& [name, samples] : trial.samples) {
      floats.append(reinterpret_cast<const char*>(samples.data()), samples.size() * sizeof(float));
    }
  }
  return Json{{"trials", entries}, {"scores", scores}, {"heads", heads}}.dump() + "\n" + floats;
}

void decode_trials(std::string_view payload, std::vector<Trial>& trials) {
  const size_t line = payload.find('\n');
  const Json json = Json::parse(payload.substr(0, line));
  const auto scores = json.at("scores").get<std::vector<std::string>>();
  const auto heads = json.at("heads").get<size_t>();
  std::string_view floats = payload.substr(line + 1);
  const size_t wanted = json.at("trials").size() * scores.size() * heads * sizeof(float);
  if (floats.size() != wanted) throw std::out_of_range("samples");
  for (const Json& entry : json.at("trials")) {
    Trial trial{entry.at("address"), entry.at("response"), entry.at("gate"), {}};
    for (const std::string& name : scores) {
      std::vector<float>& samples = trial.samples[name];
      samples.resize(heads);
      std::memcpy(samples.data(), floats.data(), heads * sizeof(float));
      floats.remove_prefix(heads * sizeof(float));
    }
    trials.push_back(std::move(trial));
  }
}

// Takes the next whole record off the front; none where the rest is torn.
std::optional<std::string_view> next_record(std::string_view& bytes) {
  uint64_t length = 0;
  if (bytes.size() < kLengthSize + kDigestSize) return std::nullopt;
  std::memcpy(&length, bytes.data(), kLengthSize);
  if (length > bytes.size() - kLengthSize - kDigestSize) return std::nullopt;
  const std::string_view payload = bytes.substr(kLengthSize, length);
  if (bytes.substr(kLengthSize + length, kDigestSize) != sha256_hex(payload)) return std::nullopt;
  bytes.remove_prefix(kLengthSize + length + kDigestSize);
  return payload;
}

}  // namespace

std::optional<JournalContents> read_journal(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  const std::string file = outputs::read_file(path, std::numeric_limits<int64_t>::max());
  std::string_view bytes = file;
  const size_t shown = std::min(bytes.size(), kMagic.size());
  if (bytes.substr(0, shown) != kMagic.substr(0, shown)) refuse(path, "another file");
  bytes.remove_prefix(shown);
  const std::optional<std::string_view> head = next_record(bytes);
  if (!head) return std::nullopt;
  JournalContents contents;
  try {
    contents.run = Json::parse(*head).get<TrialRun>();
    while (const auto record = next_record(bytes)) decode_trials(*record, contents.trials);
  } catch (const std::exception& problem) {
    refuse(path, std::string("a record that makes no sense (") + problem.what() + ")");
  }
  contents.valid_bytes = static_cast<int64_t>(file.size() - bytes.size());
  return contents;
}

JournalWriter::JournalWriter(std::filesystem::path path, const TrialRun& run)
    : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_to_write(path_, errno);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor_);
    throw InputError(path_.string(), "one run at a time", "another process that is writing it",
                     "Wait for it to end, or choose another --out.");
  }
  try {
    // Read only now: nobody else can add to it any more.
    const auto contents = read_journal(path_);
    if (::ftruncate(descriptor_, contents ? contents->valid_bytes : 0) != 0) {
      fail_to_write(path_, errno);
    }
    if (!contents) append_record(Json(run).dump());
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

JournalWriter::~JournalWriter() {
  ::close(descriptor_);
}

void JournalWriter::append(const std::vector<Trial>& trials) {
  if (!trials.empty()) append_record(encode_trials(trials));
}

void JournalWriter::append_record(const std::string& payload) {
  const off_t before = ::lseek(descriptor_, 0, SEEK_END);
  std::string record = before == 0 ? std::string(kMagic) : std::string();
  const auto length = static_cast<uint64_t>(payload.size());
  record.append(reinterpret_cast<const char*>(&length), kLengthSize);
  record += payload + sha256_hex(payload);
  for (size_t done = 0; done < record.size();) {
    const ssize_t written = ::write(descriptor_, record.data() + done, record.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int error = errno;
      static_cast<void>(::ftruncate(descriptor_, before) == 0);  // the reader copes otherwise
      fail_to_write(path_, error);
    }
    done += static_cast<size_t>(written);
  }
}

void JournalWriter::sync() {
  if (::fdatasync(descriptor_) != 0 && errno != EINVAL) fail_to_write(path_, errno);
}

}  // namespace headscope::profiler
