#include "model/freed_memory.h"

#include <cstdlib>  // says whether the C library is GNU's

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace headscope::model {

void keep_freed_memory() {
#ifdef __GLIBC__
  constexpr int kMebibyte = 1 << 20;
  mallopt(M_MMAP_THRESHOLD, 32 * kMebibyte);
  mallopt(M_TRIM_THRESHOLD, 64 * kMebibyte);
#endif
}

}  // namespace headscope::model
