#include "outputs/hdf5_file.h"

#include <catch2/catch.hpp>
#include <numeric>

#include "outputs/atomic_file.h"
#include "tests/outputs/samples.h"
#include "tests/support/scratch_folder.h"

namespace headscope::outputs {

using testing::ScratchFolder;

TEST_CASE("rows appended piece by piece read as one array", "[outputs]") {
  const ScratchFolder folder;
  std::vector<float> values(7 * 2 * 3);
  std::iota(values.begin(), values.end(), 1.0F);
  {
    Hdf5Writer file(folder / "t.h5", false);
    const std::span<const float> all(values);
    file.append_rows("layer_00/q", all.subspan(0, 4 * 6), {2, 3});
    file.append_rows("layer_00/q", all.subspan(4 * 6, 6), {2, 3});
    file.append_rows("layer_00/q", all.subspan(5 * 6), {2, 3});
    CHECK_THROWS_AS(file.append_rows("layer_00/q", all.first(6), {3, 2}), std::invalid_argument);
    CHECK_THROWS_AS(file.append_rows("layer_00/q", all.first(5), {2, 3}), std::invalid_argument);
    file.commit();
  }
  const Hdf5Reader file(folder / "t.h5");
  CHECK(file.dims("layer_00/q") == Dims{7, 2, 3});
  CHECK(file.read<float>("layer_00/q", {-1, 2, 3}) == values);
}

TEST_CASE("attributes and arrays of every type survive", "[outputs]") {
  const ScratchFolder folder;
  const std::vector<std::string> words{"", "größe", "two words"};
  {
    Hdf5Writer file(folder / "t.h5", false);
    file.group("a/b");
    file.attribute("a/b", "text", std::string("größe"));
    file.attribute("a/b", "empty", "");
    file.attribute("a/b", "long", std::string(100'000, 'x'));
    file.attribute("a/b", "whole", int64_t{-5});
    file.attribute("a/b", "large", ~uint64_t{0});
    file.attribute("a/b", "real", 0.1);
    file.dataset("a/words", words);
    file.dataset("a/none", std::span<const std::string>());
    file.dataset("a/bytes", std::vector<uint8_t>{0, 255}, {2});
    file.dataset("a/doubles", std::vector<double>{0.1, -2.0}, {1, 2});
    CHECK_THROWS_AS(file.dataset("a/x", std::vector<float>{1.0F}, {2}), std::invalid_argument);
    file.commit();
  }
  const Hdf5Reader file(folder / "t.h5");
  CHECK(file.string_attribute("a/b", "text") == "größe");
  CHECK(file.string_attribute("a/b", "empty").empty());
  CHECK(file.string_attribute("a/b", "long").size() == 100'000);
  CHECK(file.int_attribute("a/b", "whole") == -5);
  CHECK(file.uint_attribute("a/b", "large") == ~uint64_t{0});
  CHECK(file.double_attribute("a/b", "real") == 0.1);
  CHECK(file.read<std::string>("a/words", {3}) == words);
  CHECK(file.read<std::string>("a/none", {-1}).empty());
  CHECK(file.read<uint8_t>("a/bytes", {2}) == std::vector<uint8_t>{0, 255});
  CHECK(file.read<double>("a/doubles", {1, 2}) == std::vector<double>{0.1, -2.0});
  CHECK(file.attribute_names("a/b").size() == 6);
  CHECK(file.children("a").size() == 5);
  CHECK(file.has("a/words"));
  CHECK_FALSE(file.has("a/none/deeper/still"));
}

TEST_CASE("what is missing or of another type is named", "[outputs]") {
  const ScratchFolder folder;
  {
    Hdf5Writer file(folder / "t.h5", false);
    file.dataset("a/words", std::vector<std::string>{"x"});
    file.dataset("a/reals", std::vector<float>{1.5F}, {1});
    file.attribute("a", "text", "words");
    file.commit();
  }
  const Hdf5Reader file(folder / "t.h5");
  const auto reading = [&](auto action) {
    const std::string message = complaint(action);
    CHECK(contains(message, "t.h5"));
    return message;
  };
  CHECK(contains(reading([&] { static_cast<void>(file.read<float>("a/none", {1})); }), "a/none"));
  CHECK(contains(reading([&] { static_cast<void>(file.read<float>("a", {1})); }), "a group"));
  CHECK(contains(reading([&] { static_cast<void>(file.read<float>("a/words", {1})); }), "a/words"));
  CHECK(contains(reading([&] { static_cast<void>(file.read<std::string>("a/reals", {1})); }),
                 "a/reals"));
  CHECK(contains(reading([&] { static_cast<void>(file.read<int64_t>("a/reals", {1})); }),
                 "whole numbers"));
  CHECK(contains(reading([&] {
                   static_cast<void>(file.read<float>("a/reals", {-1, 1}));
                 }),
                 "dims [any, 1]"));
  CHECK(contains(reading([&] { static_cast<void>(file.int_attribute("a", "text")); }),
                 "a whole number"));
  CHECK(
      contains(reading([&] { static_cast<void>(file.string_attribute("a", "other")); }), "other"));
}

TEST_CASE("a writer that is not committed leaves no file", "[outputs]") {
  const ScratchFolder folder;
  {
    Hdf5Writer file(folder / "t.h5", false);
    file.dataset("a", std::vector<float>{1.0F}, {1});
  }
  CHECK(folder.names().size() == 0);
}

}  // namespace headscope::outputs
