#include "runtime/ragged_layer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace headscope::runtime {

namespace {

constexpr int64_t kLeastSlack = 8;
constexpr int64_t kMostSlack = 64;

std::vector<int64_t> to_host(const at::Tensor& positions) {
  const at::Tensor host = positions.to(at::kCPU, at::kLong).contiguous();
  const int64_t* data = host.const_data_ptr<int64_t>();
  return {data, data + host.numel()};
}

// Rows start where the one before ends; returns the slots of all rows together.
int64_t place_rows(const std::vector<int64_t>& capacity, std::vector<int64_t>& offset) {
  int64_t slots = 0;
  offset.resize(capacity.size());
  for (size_t row = 0; row < capacity.size(); ++row) {
    offset[row] = slots;
    slots += capacity[row];
  }
  return slots;
}

at::Tensor append_slots(const kernels::RaggedKv& kv) {
  std::vector<int64_t> slots(kv.offset.size());
  for (size_t row = 0; row < slots.size(); ++row) {
    slots[row] = kv.offset[row] + kv.length[row];
  }
  return at::tensor(slots, at::kLong).to(kv.keys.device());
}

}  // namespace

int64_t ragged_capacity(int64_t length) {
  return length + std::clamp(length / 8, kLeastSlack, kMostSlack);
}

RaggedLayer::RaggedLayer(const at::Tensor& keys,
                         const at::Tensor& values,
                         const std::vector<at::Tensor>& retained,
                         int64_t first_position)
    : batch_(keys.size(0)),
      next_position_(first_position + keys.size(2)),
      earliest_truncation_(next_position_) {
  const int64_t num_kv_heads = keys.size(1);
  if (static_cast<int64_t>(retained.size()) != batch_ * num_kv_heads) {
    throw std::invalid_argument("RaggedLayer: expected retained positions of " +
                                std::to_string(batch_ * num_kv_heads) + " rows, found " +
                                std::to_string(retained.size()));
  }
  // Rows often share one index tensor; it is read back once.
  std::map<const void*, std::vector<int64_t>> on_host;
  for (const at::Tensor& positions : retained) {
    std::vector<int64_t>& host = on_host[positions.unsafeGetTensorImpl()];
    if (host.empty()) {
      host = to_host(positions);
      for (int64_t& position : host) {
        position += first_position;
      }
    }
    retained_.push_back(host);
    kv_.length.push_back(positions.numel());
    row_capacity_.push_back(ragged_capacity(positions.numel()));
  }
  const int64_t slots = place_rows(row_capacity_, kv_.offset);
  for (const auto& [source, target] : {std::pair(&keys, &kv_.keys), {&values, &kv_.values}}) {
    *target = at::empty({slots, source->size(3)}, source->options());
    kernels::compact_layer_kv(*source, retained, *target, kv_.offset);
  }
  next_slot_ = append_slots(kv_);
}

LayerAttention RaggedLayer::attend(const LayerStep& step) {
  append(step);
  if (step.attention_window > 0) {
    return attend_windowed(step);
  }
  kernels::AttentionResult result = kernels::ragged_attention(step.q, kv_, step.scale);
  LayerAttention attention{std::move(result.z), std::move(result.lse)};
  return compensation_ ? with_compensation(attention, step, *compensation_) : attention;
}

int64_t RaggedLayer::length(int64_t row) const {
  return kv_.length.at(static_cast<size_t>(row));
}

std::vector<int64_t> RaggedLayer::positions(int64_t row) const {
  std::vector<int64_t> all = retained_.at(static_cast<size_t>(row));
  const auto num_appended = length(row) - static_cast<int64_t>(all.size());
  for (int64_t i = 0; i < num_appended; ++i) {
    all.push_back(next_position_ - num_appended + i);
  }
  return all;
}

at::Tensor RaggedLayer::keys(int64_t row) const {
  return kv_.keys.narrow(/*dim=*/0, kv_.offset.at(static_cast<size_t>(row)), length(row));
}

at::Tensor RaggedLayer::values(int64_t row) const {
  return kv_.values.narrow(/*dim=*/0, kv_.offset.at(static_cast<size_t>(row)), length(row));
}

int64_t RaggedLayer::recent_run(int64_t row) const {
  const std::vector<int64_t>& old = retained_.at(static_cast<size_t>(row));
  int64_t run = length(row) - static_cast<int64_t>(old.size());
  for (auto position = old.rbegin();
       position != old.rend() && *position == next_position_ - 1 - run; ++position) {
    ++run;
  }
  return run;
}

int64_t RaggedLayer::bytes_held() const {
  const int64_t bytes = static_cast<int64_t>(kv_.keys.nbytes() + kv_.values.nbytes());
  return bytes + (compensation_ ? compensation_->bytes_held() : 0);
}

void RaggedLayer::truncate(int64_t length) {
  if (length < earliest_truncation_ || length > next_position_) {
    throw std::invalid_argument("truncate: expected " + std::to_string(earliest_truncation_) +
                                ".." + std::to_string(next_position_) +
                                " tokens (evicted keys do not come back), found " +
                                std::to_string(length));
  }
  for (int64_t& row_length : kv_.length) {
    row_length -= next_position_ - length;
  }
  next_slot_ = next_slot_ - (next_position_ - length);
  next_position_ = length;
}

void RaggedLayer::keep(const std::vector<at::Tensor>& kept) {
  if (static_cast<int64_t>(kept.size()) != num_rows()) {
    throw std::invalid_argument("RaggedLayer: expected entries of " + std::to_string(num_rows()) +
                                " rows to keep, found " + std::to_string(kept.size()));
  }
  const std::vector<int64_t> old_offset = kv_.offset;
  const std::vector<int64_t> old_length = kv_.length;
  for (size_t row = 0; row < kept.size(); ++row) {
    const std::vector<int64_t> held = positions(static_cast<int64_t>(row));
    std::vector<int64_t> left;
    for (const int64_t entry : to_host(kept[row])) {
      left.push_back(held.at(static_cast<size_t>(entry)));
    }
    retained_[row] = std::move(left);
    row_capacity_[row] = ragged_capacity(kept[row].numel());
    kv_.length[row] = kept[row].numel();
  }
  const int64_t slots = place_rows(row_capacity_, kv_.offset);
  for (at::Tensor* buffer : {&kv_.keys, &kv_.values}) {
    const at::Tensor source = std::exchange(*buffer, at::Tensor());
    *buffer = at::empty({slots, source.size(1)}, source.options());
    for (size_t row = 0; row < kept.size(); ++row) {
      kernels::compact_kv(source.narrow(/*dim=*/0, old_offset[row], old_length[row]), kept[row],
                          *buffer, kv_.offset[row]);
    }
  }
  next_slot_ = append_slots(kv_);
  earliest_truncation_ = next_position_;
}

void RaggedLayer::append(const LayerStep& step) {
  const at::Tensor& k = step.k;
  const int64_t num_new = k.size(2);
  if (k.size(0) != batch_ || k.size(0) * k.size(1) != num_rows() || k.size(3) != kv_.keys.size(1) ||
      k.scalar_type() != kv_.keys.scalar_type()) {
    throw std::invalid_argument("attention step: expected keys of " + std::to_string(num_rows()) +
                                " rows of " + std::to_string(kv_.keys.size(1)) +
                                " values in the cache's dtype");
  }
  for (size_t row = 0; row < kv_.length.size(); ++row) {
    if (kv_.length[row] + num_new > row_capacity_[row]) {
      lay_out_again(num_new, step.attention_window);
      break;
    }
  }
  at::Tensor slots = next_slot_;
  if (num_new > 1) {
    slots = (next_slot_.unsqueeze(1) + at::arange(num_new, next_slot_.options())).flatten();
  }
  kv_.keys.index_copy_(/*dim=*/0, slots, k.reshape({-1, k.size(3)}));
  kv_.values.index_copy_(/*dim=*/0, slots, step.v.reshape({-1, k.size(3)}));
  next_slot_ = next_slot_ + num_new;
  for (int64_t& row_length : kv_.length) {
    row_length += num_new;
  }
  next_position_ += num_new;
}

// Moves every row to new storage with room for `num_new` more tokens. Entries that the coming
// pass's first query no longer sees stay behind.
void RaggedLayer::lay_out_again(int64_t num_new, int64_t attention_window) {
  const kernels::RaggedKv old = kv_;
  bool gave_up = false;
  for (size_t row = 0; row < old.length.size(); ++row) {
    const int64_t gone = num_invisible(row, next_position_, attention_window);
    const int64_t gone_of_prompt = std::min(gone, static_cast<int64_t>(retained_[row].size()));
    retained_[row].erase(retained_[row].begin(), retained_[row].begin() + gone_of_prompt);
    gave_up = gave_up || gone > 0;
    kv_.length[row] -= gone;
    row_capacity_[row] = ragged_capacity(kv_.length[row] + num_new);
  }
  if (gave_up) {
    earliest_truncation_ = next_position_;
  }
  const int64_t slots = place_rows(row_capacity_, kv_.offset);
  for (at::Tensor* buffer : {&kv_.keys, &kv_.values}) {
    const at::Tensor source = std::exchange(*buffer, at::Tensor());
    *buffer = at::empty({slots, source.size(1)}, source.options());
    for (size_t row = 0; row < old.length.size(); ++row) {
      const int64_t kept = kv_.length[row];
      buffer->narrow(0, kv_.offset[row], kept)
          .copy_(source.narrow(0, old.offset[row] + old.length[row] - kept, kept));
    }
  }
  next_slot_ = append_slots(kv_);
}

// Entries at the front of a row that a query at this position does not see any more.
int64_t RaggedLayer::num_invisible(size_t row, int64_t query_position, int64_t window) const {
  if (window == 0) {
    return 0;
  }
  const std::vector<int64_t>& prompt = retained_[row];
  const int64_t first_visible = query_position - window + 1;
  const auto in_prompt = std::lower_bound(prompt.begin(), prompt.end(), first_visible);
  const auto num_appended = kv_.length[row] - static_cast<int64_t>(prompt.size());
  const int64_t first_appended = next_position_ - num_appended;
  return (in_prompt - prompt.begin()) +
         std::clamp<int64_t>(first_visible - first_appended, 0, num_appended);
}

// A sliding window sees a suffix of every row, since positions ascend. One call when all new
// queries see the same front, else one call per query.
LayerAttention RaggedLayer::attend_windowed(const LayerStep& step) const {
  const int64_t num_new = step.q.size(2);
  const int64_t first_query = next_position_ - num_new;
  const auto visible = [&](int64_t query, int64_t num_hidden_after) {
    kernels::RaggedKv view = kv_;
    for (size_t row = 0; row < view.length.size(); ++row) {
      const int64_t hidden = num_invisible(row, query, step.attention_window);
      view.offset[row] += hidden;
      view.length[row] -= hidden + num_hidden_after;
    }
    return view;
  };
  const kernels::RaggedKv for_first = visible(first_query, 0);
  if (for_first.offset == visible(next_position_ - 1, 0).offset) {
    kernels::AttentionResult result = kernels::ragged_attention(step.q, for_first, step.scale);
    return {std::move(result.z), std::move(result.lse)};
  }
  std::vector<at::Tensor> z;
  std::vector<at::Tensor> lse;
  for (int64_t i = 0; i < num_new; ++i) {
    kernels::AttentionResult one = kernels::ragged_attention(
        step.q.narrow(/*dim=*/2, i, 1), visible(first_query + i, num_new - 1 - i), step.scale);
    z.push_back(std::move(one.z));
    lse.push_back(std::move(one.lse));
  }
  return {at::cat(z, /*dim=*/2), at::cat(lse, /*dim=*/2)};
}

}  // namespace headscope::runtime
