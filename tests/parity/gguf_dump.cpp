// Writes every tensor of a GGUF file, as our reader gives it, for comparison with Python:
// OUT/<Hugging Face name>.f32, little-endian float32. Says how long the loading took.
#include <ATen/ATen.h>

#include <chrono>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>

#include "model/gguf.h"
#include "model/gguf_weights.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: gguf_dump FILE.gguf OUT\n";
    return 2;
  }
  try {
    const auto file = std::make_shared<headscope::model::GgufFile>(argv[1]);
    const auto weights = headscope::model::open_gguf_weights(file);
    double seconds = 0;
    for (const headscope::model::TensorInfo& info : weights->tensors()) {
      const auto start = std::chrono::steady_clock::now();
      const at::Tensor values = weights->load(info.name, at::kFloat, at::kCPU);
      seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      std::ofstream out(std::string(argv[2]) + "/" + info.name + ".f32", std::ios::binary);
      out.write(static_cast<const char*>(values.const_data_ptr()),
                static_cast<std::streamsize>(values.nbytes()));
    }
    std::cout << "loaded " << weights->tensors().size() << " tensors in " << seconds << " s\n";
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
