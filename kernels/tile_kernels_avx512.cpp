#include "kernels/tile_kernels.h"

#if defined(__x86_64__)

#include "kernels/tile_avx512.h"

namespace headscope::kernels {

const TileKernels& tile_kernels_avx512() {
  static const TileKernels table = make_tile_kernels<Avx512>();
  return table;
}

}  // namespace headscope::kernels

#else

namespace headscope::kernels {
const TileKernels& tile_kernels_avx512() {
  return tile_kernels_portable();
}
}  // namespace headscope::kernels

#endif
