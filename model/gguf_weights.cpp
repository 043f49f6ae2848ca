#include "model/gguf_weights.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include "model/dequantise.h"
#include "outputs/input_error.h"

namespace headscope::model {
namespace {

struct NamePair {
  std::string_view gguf;
  std::string_view hf;
};

constexpr std::array<NamePair, 11> kLayerNames = {{{"attn_norm", "input_layernorm"},
                                                   {"attn_q", "self_attn.q_proj"},
                                                   {"attn_k", "self_attn.k_proj"},
                                                   {"attn_v", "self_attn.v_proj"},
                                                   {"attn_output", "self_attn.o_proj"},
                                                   {"attn_q_norm", "self_attn.q_norm"},
                                                   {"attn_k_norm", "self_attn.k_norm"},
                                                   {"ffn_norm", "post_attention_layernorm"},
                                                   {"ffn_gate", "mlp.gate_proj"},
                                                   {"ffn_up", "mlp.up_proj"},
                                                   {"ffn_down", "mlp.down_proj"}}};

constexpr std::array<NamePair, 3> kModelNames = {
    {{"token_embd.weight", "model.embed_tokens.weight"},
     {"output_norm.weight", "model.norm.weight"},
     {"output.weight", "lm_head.weight"}}};

// One tensor of the file, its blocks and the order of its rows.
struct Place {
  const GgufTensor* tensor = nullptr;
  const BlockType* type = nullptr;
  const std::byte* data = nullptr;
  int64_t num_rows = 1;
  int64_t row_length = 0;         // values
  int64_t permuted_head_dim = 0;  // > 0: rows are stored with the halves of each head interleaved

  [[nodiscard]] int64_t row_bytes() const {
    return row_length / type->block_size * type->block_bytes;
  }
  // The row in Hugging Face's order -> the row in the file. Within a head, HF row half * (d / 2) +
  // i is stored at 2 * i + half.
  [[nodiscard]] int64_t stored_row(int64_t row) const {
    if (permuted_head_dim == 0) return row;
    const int64_t head_begin = row / permuted_head_dim * permuted_head_dim;
    const int64_t within = row - head_begin;
    const int64_t half_dim = permuted_head_dim / 2;
    return head_begin + 2 * (within % half_dim) + within / half_dim;
  }
};

template <typename T>
void dequantise_rows(const Place& place, at::Tensor& out) {
  T* values = out.data_ptr<T>();
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / place.row_length);
  at::parallel_for(0, place.num_rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> row(std::is_same_v<T, float> ? 0 : static_cast<size_t>(place.row_length));
    for (int64_t r = begin; r < end; ++r) {
      const std::byte* blocks = place.data + place.stored_row(r) * place.row_bytes();
      const int64_t num_blocks = place.row_length / place.type->block_size;
      T* target = values + r * place.row_length;
      if constexpr (std::is_same_v<T, float>) {
        place.type->to_float(blocks, num_blocks, target);
      } else {
        place.type->to_float(blocks, num_blocks, row.data());
        std::transform(row.begin(), row.end(), target, [](float v) { return static_cast<T>(v); });
      }
    }
  });
}

class GgufWeights : public WeightSource {
 public:
  explicit GgufWeights(std::shared_ptr<const GgufFile> file) : file_(std::move(file)) {
    for (const GgufTensor& tensor : file_->tensors()) {
      // The factors are part of the configuration: gguf_config reads them.
      if (tensor.name == "rope_freqs.weight") continue;
      const std::string name = hf_name_of_gguf(tensor.name);
      if (!places_.emplace(name, make_place(tensor)).second) {
        throw InputError(where(tensor), "every tensor once", "another that also means " + name);
      }
    }
    check_ranges();
    for (const auto& [name, place] : places_) {
      infos_.push_back(
          {name, place.tensor->dims, place.type->name, place.num_rows * place.row_bytes()});
    }
  }

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  bool contains(const std::string& name) const override { return places_.contains(name); }

  at::Tensor load(const std::string& name, at::ScalarType dtype, at::Device device) const override {
    const Place& place = find(name);
    at::Tensor out = at::empty(place.tensor->dims, at::TensorOptions().dtype(dtype));
    if (dtype == at::kFloat) {
      dequantise_rows<float>(place, out);
    } else if (dtype == at::kBFloat16) {
      dequantise_rows<at::BFloat16>(place, out);
    } else if (dtype == at::kHalf) {
      dequantise_rows<at::Half>(place, out);
    } else {
      throw std::invalid_argument("GgufWeights::load: dtype is not float32, bfloat16 or float16");
    }
    const auto begin = static_cast<uint64_t>(place.data - file_->file().bytes().data());
    file_->file().release(begin, begin + static_cast<uint64_t>(place.num_rows * place.row_bytes()));
    return device.is_cpu() ? out : out.to(device);
  }

  std::vector<float> sample(const std::string& name, int64_t count) const override {
    const Place& place = find(name);
    std::vector<float> values;
    std::vector<float> block(static_cast<size_t>(place.type->block_size));
    for (const int64_t position : sample_positions(place.num_rows * place.row_length, count)) {
      const int64_t column = position % place.row_length;
      const std::byte* row =
          place.data + place.stored_row(position / place.row_length) * place.row_bytes();
      place.type->to_float(row + column / place.type->block_size * place.type->block_bytes, 1,
                           block.data());
      values.push_back(block[static_cast<size_t>(column % place.type->block_size)]);
    }
    return values;
  }

 private:
  std::string where(const GgufTensor& tensor) const {
    return file_->file().path() + ", tensor \"" + tensor.name + "\"";
  }

  Place make_place(const GgufTensor& tensor) const {
    Place place;
    place.tensor = &tensor;
    place.type = find_block_type(tensor.type);
    if (place.type == nullptr) {
      throw InputError(where(tensor), "a block type among " + supported_block_types(),
                       block_type_name(tensor.type));
    }
    place.row_length = tensor.dims.back();
    for (size_t i = 0; i + 1 < tensor.dims.size(); ++i) place.num_rows *= tensor.dims[i];
    if (place.row_length % place.type->block_size != 0) {
      throw InputError(where(tensor),
                       "rows of a multiple of " + std::to_string(place.type->block_size) +
                           " values, as " + place.type->name + " needs",
                       std::to_string(place.row_length));
    }
    const uint64_t size = file_->file().bytes().size();
    const auto num_blocks = static_cast<uint64_t>(place.num_rows) *
                            static_cast<uint64_t>(place.row_length / place.type->block_size);
    // Divided, not multiplied: a dims product of 2^60 blocks would overflow as bytes.
    const bool fits = file_->data_begin() <= size && tensor.offset <= size - file_->data_begin() &&
                      num_blocks <= (size - file_->data_begin() - tensor.offset) /
                                        static_cast<uint64_t>(place.type->block_bytes);
    if (!fits) {
      throw InputError(where(tensor),
                       "its data within the file's " + std::to_string(size) + " bytes",
                       "data that begins at byte " + std::to_string(tensor.offset) +
                           " of the tensor data and passes the end",
                       "The file may be truncated.");
    }
    place.data = file_->file().bytes().data() + file_->data_begin() + tensor.offset;
    place.permuted_head_dim = permuted_head_dim(tensor);
    if (place.permuted_head_dim > 0 && tensor.dims.size() == 1) {
      // A permuted bias: every value is a row.
      if (place.type->block_size != 1) {
        throw InputError(where(tensor), "a bias of F32, F16 or BF16", place.type->name);
      }
      std::swap(place.num_rows, place.row_length);
    }
    return place;
  }

  int64_t permuted_head_dim(const GgufTensor& tensor) const {
    const std::string architecture = file_->find_string("general.architecture").value_or("");
    if (architecture != "llama" && architecture != "mistral") return 0;
    const bool is_query = tensor.name.find(".attn_q.") != std::string::npos;
    if (!is_query && tensor.name.find(".attn_k.") == std::string::npos) return 0;
    const int64_t num_heads = head_count(architecture, is_query);
    const int64_t rows = tensor.dims.front();
    if (num_heads < 1 || num_heads > rows || rows % (2 * num_heads) != 0) {
      throw InputError(where(tensor),
                       "rows in pairs for each of " + std::to_string(num_heads) + " heads",
                       std::to_string(rows));
    }
    return rows / num_heads;
  }

  // Equal counts in every layer are gguf_config's to check; here any layer's will do.
  int64_t head_count(const std::string& architecture, bool is_query) const {
    const std::string key = architecture + ".attention.head_count";
    const auto read = [&](const std::string& name) -> std::optional<int64_t> {
      const auto found = file_->keys().find(name);
      if (found == file_->keys().end()) return std::nullopt;
      if (const auto* list = std::get_if<std::vector<int64_t>>(&found->second)) {
        return list->empty() ? 0 : list->front();
      }
      return file_->find_int(name);
    };
    const int64_t queries = read(key).value_or(0);
    return is_query ? queries : read(key + "_kv").value_or(queries);
  }

  void check_ranges() const {
    std::vector<const Place*> order;
    for (const auto& [name, place] : places_) order.push_back(&place);
    std::sort(order.begin(), order.end(),
              [](const Place* a, const Place* b) { return a->data < b->data; });
    for (size_t i = 1; i < order.size(); ++i) {
      const Place& before = *order[i - 1];
      if (order[i]->data < before.data + before.num_rows * before.row_bytes()) {
        throw InputError(where(*order[i]->tensor), "data of its own",
                         "data that overlaps tensor \"" + before.tensor->name + "\"");
      }
    }
  }

  const Place& find(const std::string& name) const {
    const auto found = places_.find(name);
    if (found == places_.end()) {
      throw InputError(file_->file().path(), "a tensor \"" + name + "\"", "none of that name");
    }
    return found->second;
  }

  std::shared_ptr<const GgufFile> file_;
  std::map<std::string, Place> places_;
  std::vector<TensorInfo> infos_;
};

}  // namespace

std::string hf_name_of_gguf(const std::string& gguf_name) {
  for (const NamePair& pair : kModelNames) {
    if (pair.gguf == gguf_name) return std::string(pair.hf);
  }
  if (!gguf_name.starts_with("blk.")) return gguf_name;
  const size_t after_layer = gguf_name.find('.', 4);
  const size_t before_kind = gguf_name.rfind('.');
  if (after_layer == std::string::npos || before_kind <= after_layer) return gguf_name;
  const std::string part = gguf_name.substr(after_layer + 1, before_kind - after_layer - 1);
  for (const NamePair& pair : kLayerNames) {
    if (pair.gguf == part) {
      return "model.layers." + gguf_name.substr(4, after_layer - 4) + "." + std::string(pair.hf) +
             gguf_name.substr(before_kind);
    }
  }
  return gguf_name;
}

std::unique_ptr<WeightSource> open_gguf_weights(std::shared_ptr<const GgufFile> file) {
  return std::make_unique<GgufWeights>(std::move(file));
}

}  // namespace headscope::model
