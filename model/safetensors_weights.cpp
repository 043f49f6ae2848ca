#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <utility>

#include "model/safetensors.h"
#include "outputs/input_error.h"

namespace headscope::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

at::ScalarType scalar_type_of(const std::string& dtype, const std::string& where) {
  if (dtype == "F32") return at::kFloat;
  if (dtype == "F16") return at::kHalf;
  if (dtype == "BF16") return at::kBFloat16;
  throw InputError(where, "a dtype among F32, F16, BF16", dtype);
}

float read_value(const std::byte* at, at::ScalarType type) {
  if (type == at::kFloat) {
    float value = 0;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof bits);
  if (type == at::kHalf) return static_cast<float>(c10::Half(bits, c10::Half::from_bits()));
  return static_cast<float>(c10::BFloat16(bits, c10::BFloat16::from_bits()));
}

// Straight from the mapping into the new tensor. Data that is not aligned to its element (a header
// may have any length) goes through a small buffer.
at::Tensor convert(const std::byte* data,
                   const std::vector<int64_t>& dims,
                   at::ScalarType stored,
                   at::ScalarType wanted) {
  at::Tensor out = at::empty(dims, at::TensorOptions().dtype(wanted));
  const auto unit = static_cast<int64_t>(c10::elementSize(stored));
  const bool aligned = reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(unit) == 0;
  if (aligned) {
    out.copy_(at::from_blob(const_cast<std::byte*>(data), dims, at::TensorOptions().dtype(stored)));
    return out;
  }
  at::Tensor flat = out.view({-1});
  constexpr int64_t kChunk = 1 << 18;
  at::Tensor buffer = at::empty({kChunk}, at::TensorOptions().dtype(stored));
  for (int64_t begin = 0; begin < flat.numel(); begin += kChunk) {
    const int64_t n = std::min(kChunk, flat.numel() - begin);
    std::memcpy(buffer.data_ptr(), data + begin * unit, static_cast<size_t>(n * unit));
    flat.narrow(0, begin, n).copy_(buffer.narrow(0, 0, n));
  }
  return out;
}

class SafetensorsWeights : public WeightSource {
 public:
  explicit SafetensorsWeights(std::string directory) : directory_(std::move(directory)) {}

  // Takes the tensors of one file: those that the index places in it, or all without an index.
  void add_file(const std::string& path, const std::map<std::string, std::string>* index) {
    const MappedFile& file = *files_.emplace_back(std::make_unique<MappedFile>(path));
    const std::string file_name = fs::path(path).filename().string();
    for (SafetensorsEntry& entry : read_safetensors_header(file)) {
      if (index != nullptr) {
        const auto found = index->find(entry.name);
        if (found == index->end() || found->second != file_name) continue;
      }
      const std::string name = entry.name;
      if (!places_.emplace(name, Place{&file, std::move(entry)}).second) {
        throw InputError(path, "every tensor in one shard", "\"" + name + "\" in two");
      }
    }
  }

  void finish() {
    for (const auto& [name, place] : places_) {
      infos_.push_back({name, place.entry.dims, place.entry.dtype,
                        static_cast<int64_t>(place.entry.end - place.entry.begin)});
    }
  }

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  bool contains(const std::string& name) const override { return places_.contains(name); }

  at::Tensor load(const std::string& name, at::ScalarType dtype, at::Device device) const override {
    const Place& place = find(name);
    const at::ScalarType stored = scalar_type_of(place.entry.dtype, where(place));
    at::Tensor out =
        convert(place.file->bytes().data() + place.entry.begin, place.entry.dims, stored, dtype);
    place.file->release(place.entry.begin, place.entry.end);
    return device.is_cpu() ? out : out.to(device);
  }

  std::vector<float> sample(const std::string& name, int64_t count) const override {
    const Place& place = find(name);
    const at::ScalarType stored = scalar_type_of(place.entry.dtype, where(place));
    const auto unit = static_cast<int64_t>(c10::elementSize(stored));
    const auto num_values = static_cast<int64_t>(place.entry.end - place.entry.begin) / unit;
    const std::byte* data = place.file->bytes().data() + place.entry.begin;
    std::vector<float> values;
    for (const int64_t position : sample_positions(num_values, count)) {
      values.push_back(read_value(data + position * unit, stored));
    }
    return values;
  }

 private:
  struct Place {
    const MappedFile* file;
    SafetensorsEntry entry;
  };

  const Place& find(const std::string& name) const {
    const auto found = places_.find(name);
    if (found == places_.end()) {
      throw InputError(directory_, "a tensor \"" + name + "\"", "none of that name");
    }
    return found->second;
  }
  static std::string where(const Place& place) {
    return place.file->path() + ", tensor \"" + place.entry.name + "\"";
  }

  std::string directory_;
  std::vector<std::unique_ptr<MappedFile>> files_;
  std::map<std::string, Place> places_;
  std::vector<TensorInfo> infos_;
};

std::map<std::string, std::string> read_index(const fs::path& path) {
  std::ifstream stream(path);
  const json index = json::parse(stream, nullptr, /*allow_exceptions=*/false);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || map == index.end() || !map->is_object() || map->empty()) {
    throw InputError(path.string(), "a JSON object with \"weight_map\"",
                     index.is_discarded() ? "invalid JSON" : "none");
  }
  std::map<std::string, std::string> files;
  for (const auto& [name, file] : map->items()) {
    // A shard lies beside its index: a path would let an index read any file of the machine.
    if (!file.is_string() || file.get<std::string>().empty() ||
        file.get<std::string>().find('/') != std::string::npos) {
      throw InputError(path.string(), "a file name for \"" + name + "\"", file.dump());
    }
    files[name] = file.get<std::string>();
  }
  return files;
}

void require_shard(const fs::path& directory, const std::string& shard, const std::string& why) {
  if (fs::exists(directory / shard)) return;
  throw InputError(directory.string(), "shard " + shard + " (" + why + ")", "no such file",
                   "Download the missing part of the checkpoint.");
}

std::unique_ptr<WeightSource> open_indexed(const fs::path& directory, const fs::path& index_path) {
  const std::map<std::string, std::string> index = read_index(index_path);
  std::map<std::string, std::string> a_tensor_of;  // one tensor per shard, for the message
  for (const auto& [name, file] : index) a_tensor_of.emplace(file, name);
  auto weights = std::make_unique<SafetensorsWeights>(directory.string());
  for (const auto& [file, tensor] : a_tensor_of) {
    require_shard(directory, file, "holds \"" + tensor + "\"");
    weights->add_file((directory / file).string(), &index);
  }
  for (const auto& [name, file] : index) {
    if (!weights->contains(name)) {
      throw InputError((directory / file).string(), "tensor \"" + name + "\", as the index says",
                       "none of that name");
    }
  }
  weights->finish();
  return weights;
}

// model-00001-of-00003.safetensors without an index: the names say how many there must be.
std::vector<std::string> list_shards(const fs::path& directory) {
  static const std::regex kShard(R"(model-(\d{5})-of-(\d{5})\.safetensors)");
  std::vector<std::string> shards;
  std::string last;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("model-") && name.ends_with(".safetensors")) shards.push_back(name);
    std::smatch match;
    if (std::regex_match(name, match, kShard)) last = std::max(last, match[2].str());
  }
  std::sort(shards.begin(), shards.end());
  for (int i = 1; !last.empty() && i <= std::stoi(last); ++i) {
    const std::string number = std::to_string(i);
    const std::string shard =
        "model-" + std::string(5 - number.size(), '0') + number + "-of-" + last + ".safetensors";
    require_shard(directory, shard, "the others say there are " + last);
  }
  return shards;
}

}  // namespace

std::unique_ptr<WeightSource> open_safetensors(const std::string& directory) {
  const fs::path root(directory);
  const fs::path index = root / "model.safetensors.index.json";
  if (fs::exists(index)) return open_indexed(root, index);
  std::vector<std::string> files;
  if (fs::exists(root / "model.safetensors")) {
    files.emplace_back("model.safetensors");
  } else {
    files = list_shards(root);
  }
  if (files.empty()) {
    const bool pickled =
        fs::exists(root / "pytorch_model.bin") || fs::exists(root / "pytorch_model.bin.index.json");
    throw InputError(directory, "model.safetensors, its index, or model-*.safetensors",
                     pickled ? "pytorch_model.bin" : "none of them",
                     pickled ? "Save the model as safetensors first." : "");
  }
  auto weights = std::make_unique<SafetensorsWeights>(directory);
  for (const std::string& file : files) weights->add_file((root / file).string(), nullptr);
  weights->finish();
  return weights;
}

}  // namespace headscope::model
