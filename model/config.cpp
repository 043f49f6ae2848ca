#include "model/config.h"

namespace headscope::model {

ModelShape ModelConfig::shape() const {
  ModelShape shape;
  shape.architecture = architecture;
  shape.num_layers = num_layers;
  shape.num_query_heads = num_query_heads;
  shape.num_kv_heads = num_kv_heads;
  shape.head_dim = head_dim;
  shape.hidden_size = hidden_size;
  shape.vocab_size = vocab_size;
  shape.max_positions = max_positions;
  shape.attention_window = attention_window;
  return shape;
}

}  // namespace headscope::model
