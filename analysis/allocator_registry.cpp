// The built-in allocators by name.
#include <array>
#include <utility>

#include "analysis/allocator.h"
#include "analysis/compresskv_allocator.h"
#include "analysis/curve_allocator.h"
#include "analysis/gates_allocator.h"
#include "analysis/headkv_allocator.h"
#include "analysis/pyramid_allocator.h"
#include "analysis/razor_allocator.h"
#include "analysis/uniform_allocator.h"
#include "outputs/input_error.h"

namespace headscope::analysis {
namespace {

template <typename Type>
std::unique_ptr<Allocator> make() {
  return std::make_unique<Type>();
}

using Maker = std::unique_ptr<Allocator> (*)();

constexpr std::array<std::pair<const char*, Maker>, 7> kAllocators{{
    {"uniform", &make<UniformAllocator>},
    {"pyramid", &make<PyramidAllocator>},
    {"compresskv", &make<CompressKvAllocator>},
    {"headkv", &make<HeadKvAllocator>},
    {"razor", &make<RazorAllocator>},
    {"gates", &make<GatesAllocator>},
    {"curve", &make<CurveAllocator>},
}};

}  // namespace

std::vector<std::string> allocator_names() {
  std::vector<std::string> names;
  for (const auto& [name, unused] : kAllocators) names.emplace_back(name);
  return names;
}

std::unique_ptr<Allocator> make_allocator(const std::string& name) {
  std::string known;
  for (const auto& [each, maker] : kAllocators) {
    if (name == each) return maker();
    known += (known.empty() ? "" : ", ") + std::string(each);
  }
  throw InputError("--method", "one of " + known, "\"" + name + "\"");
}

}  // namespace headscope::analysis
