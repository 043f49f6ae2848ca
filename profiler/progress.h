// How libraries report progress without printing: the program decides what becomes of it.
#pragma once

#include <cstdint>
#include <string>

namespace headscope::profiler {

class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  virtual void begin(const std::string& what, int64_t total) = 0;
  virtual void advance(int64_t done) = 0;  // absolute count
  virtual void message(const std::string& text) = 0;
  // True once the user asked to stop (Ctrl-C); loops end after the current item and save.
  [[nodiscard]] virtual bool interrupted() const = 0;
};

class SilentProgress final : public ProgressSink {
 public:
  void begin(const std::string&, int64_t) override {}
  void advance(int64_t) override {}
  void message(const std::string&) override {}
  [[nodiscard]] bool interrupted() const override { return false; }
};

}  // namespace headscope::profiler
