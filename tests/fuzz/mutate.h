// Seeded damage to a file's bytes, of the kinds that broken downloads and hostile writers produce.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>

namespace headscope::testing {

// One to four random changes, within the first `region` bytes (a header is where lies are told).
inline std::string mutate(std::string bytes, size_t region, std::mt19937_64& generator) {
  const auto below = [&](size_t n) {
    return static_cast<size_t>(generator() % static_cast<uint64_t>(n));
  };
  static constexpr std::array<uint64_t, 8> kEdges = {
      0, 1, 0x7fffffff, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, ~0ULL};
  const size_t num_changes = 1 + below(4);
  for (size_t change = 0; change < num_changes && !bytes.empty(); ++change) {
    const size_t at = below(std::min(region, bytes.size()));
    switch (below(6)) {
      case 0:  // one bit
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:  // one byte
        bytes[at] = static_cast<char>(below(256));
        break;
      case 2: {  // a count or an offset at the edge of its type
        const uint64_t edge = kEdges[below(kEdges.size())];
        std::memcpy(bytes.data() + at, &edge, std::min(sizeof edge, bytes.size() - at));
        break;
      }
      case 3:  // truncated
        bytes.resize(at);
        break;
      case 4:  // something missing
        bytes.erase(at, 1 + below(9));
        break;
      default:  // something repeated
        bytes.insert(at, bytes.substr(at, 1 + below(9)));
        break;
    }
  }
  return bytes;
}

}  // namespace headscope::testing
