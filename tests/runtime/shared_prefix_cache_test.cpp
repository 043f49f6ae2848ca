// Many continuations of one prefix against a cache of its own for each.
#include "runtime/shared_prefix_cache.h"

#include <catch2/catch.hpp>

#include "tests/runtime/attention_steps.h"

namespace headscope::runtime::test {
namespace {

constexpr uint64_t kSeed = 20260301;
constexpr int64_t kPrefix = 70;

// What the sequences bring in each pass; none of the third in the first pass, which then begins
// later than the others.
const std::vector<std::vector<int64_t>> kPasses = {{5, 9, 0}, {1, 1, 1}, {0, 3, 2}, {1, 0, 1}};

// All continue sequence 0's prefix.
struct Continuations {
  ModelShape shape;
  std::vector<Sequence> sequences;
  FullKvCache prefix;

  Continuations(const ModelShape& model, at::ScalarType dtype)
      : shape(model), prefix(model.num_layers) {
    for (uint64_t s = 0; s < 3; ++s) {
      sequences.push_back(random_sequence(shape, 1, kPrefix + 20, kSeed + s, dtype));
    }
    feed_prompt(prefix, sequences[0], kPrefix, 32);
  }

  // One layer of a packed pass.
  [[nodiscard]] LayerStep packed(int64_t layer,
                                 const std::vector<int64_t>& rows,
                                 const std::vector<int64_t>& from) const {
    std::vector<at::Tensor> q, k, v;
    LayerStep step;
    for (size_t s = 0; s < rows.size(); ++s) {
      step = sequences[s].step(layer, from[s], from[s] + rows[s]);
      q.push_back(step.q);
      k.push_back(step.k);
      v.push_back(step.v);
    }
    step.q = at::cat(q, 2);
    step.k = at::cat(k, 2);
    step.v = at::cat(v, 2);
    return step;
  }
};

void check_against_own_caches(const ModelShape& shape, at::ScalarType dtype, double tolerance) {
  INFO("seed " << kSeed << ", heads " << shape.num_query_heads << "/" << shape.num_kv_heads << ", "
               << c10::toString(dtype));
  const Continuations all(shape, dtype);
  SharedPrefixCache shared(all.prefix, 3);
  std::vector<std::unique_ptr<FullKvCache>> own;
  for (int s = 0; s < 3; ++s) own.push_back(all.prefix.fork());
  std::vector<int64_t> from(3, kPrefix);
  for (const std::vector<int64_t>& rows : kPasses) {
    shared.expect_rows(rows);
    const std::vector<int64_t> positions = shared.row_positions();
    for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
      const LayerAttention got = shared.attend(all.packed(layer, rows, from));
      int64_t begin = 0;
      for (size_t s = 0; s < 3; begin += rows[s++]) {
        if (rows[s] == 0) continue;
        CHECK(positions[static_cast<size_t>(begin)] == from[s]);
        const LayerAttention want =
            own[s]->attend(all.sequences[s].step(layer, from[s], from[s] + rows[s]));
        CHECK(largest_difference(got.z.narrow(2, begin, rows[s]), want.z) < tolerance);
        CHECK(largest_difference(got.lse.narrow(2, begin, rows[s]), want.lse) < 1e-4);
        CHECK(at::equal(shared.keys(layer, static_cast<int64_t>(s)), own[s]->keys(layer)));
      }
    }
    for (size_t s = 0; s < 3; ++s) {
      from[s] += rows[s];
      CHECK(shared.length(static_cast<int64_t>(s)) == from[s]);
    }
    CHECK(shared.next_position() == *std::max_element(from.begin(), from.end()));
  }
}

}  // namespace

TEST_CASE("continuations of a shared prefix attend as with a cache of their own", "[runtime]") {
  for (const int64_t group : {1, 2, 3, 4, 7}) {
    check_against_own_caches(small_shape(2, 2 * group, 2), at::kFloat, 2e-5);
  }
  // z of either part is rounded before they are merged.
  check_against_own_caches(small_shape(2, 6, 2, 16), at::kBFloat16, 4e-2);
}

TEST_CASE("a sliding window cuts a shared prefix as it cuts one's own", "[runtime]") {
  ModelShape shape = small_shape(3, 4, 2);
  for (const int64_t window : {8, 40, 75, 200}) {
    shape.attention_window = {0, window, 0};
    check_against_own_caches(shape, at::kFloat, 2e-5);
  }
}

TEST_CASE("a sequence cut back goes on as if the cut tokens had never been", "[runtime]") {
  const ModelShape shape = small_shape(2, 4, 2);
  const Continuations all(shape, at::kFloat);
  SharedPrefixCache shared(all.prefix, 3);
  const auto pass = [&](const std::vector<int64_t>& rows, const std::vector<int64_t>& from) {
    shared.expect_rows(rows);
    std::vector<LayerAttention> attention;
    for (int64_t layer = 0; layer < 2; ++layer) {
      attention.push_back(shared.attend(all.packed(layer, rows, from)));
    }
    return attention;
  };
  pass({6, 4, 2}, {kPrefix, kPrefix, kPrefix});
  const auto before = pass({0, 3, 0}, {0, kPrefix + 4, 0});
  shared.truncate(1, kPrefix + 4);
  shared.truncate(0, kPrefix);
  const auto again = pass({0, 3, 0}, {0, kPrefix + 4, 0});
  CHECK(at::equal(before[1].z, again[1].z));
  CHECK_THROWS_AS(shared.truncate(1, kPrefix - 1), std::invalid_argument);
  CHECK_THROWS_AS(shared.truncate(1, kPrefix + 8), std::invalid_argument);
}

TEST_CASE("rows that were not announced are refused", "[runtime]") {
  const Continuations all(small_shape(1, 2, 2), at::kFloat);
  SharedPrefixCache shared(all.prefix, 3);
  CHECK_THROWS_AS(shared.attend(all.sequences[0].step(0, kPrefix, kPrefix + 2)),
                  std::invalid_argument);
  CHECK_THROWS_AS(shared.expect_rows({1, 2}), std::invalid_argument);
  CHECK_THROWS_AS(shared.expect_rows({1, -1, 0}), std::invalid_argument);
  const FullKvCache empty(1);
  CHECK_THROWS_AS(SharedPrefixCache(empty, 1), std::invalid_argument);
}

TEST_CASE("a shared prefix is not held again", "[runtime]") {
  const Continuations all(small_shape(2, 4, 2), at::kFloat);
  SharedPrefixCache shared(all.prefix, 3);
  CHECK(shared.bytes_held() == 0);
  shared.expect_rows({5, 0, 0});
  for (int64_t layer = 0; layer < 2; ++layer) {
    static_cast<void>(shared.attend(all.packed(layer, {5, 0, 0}, {kPrefix, 0, 0})));
  }
  const int64_t row = 2 * 2 * 8 * 4;  // keys and values, KV heads, head_dim, bytes
  CHECK(shared.bytes_held() == 2 * 64 * row);
}

}  // namespace headscope::runtime::test
