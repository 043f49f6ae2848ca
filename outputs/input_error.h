// The two ways a user's material can be wrong. The program turns them into exit codes 2 and 4.
#pragma once

#include <stdexcept>
#include <string>

namespace headscope {

// A file, an option or a value that the user gave cannot be used. The message says where it was
// found, what was expected, what was found, and (where there is something to do) what to do.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;

  // "where: expected E, found F. what_to_do" — the wording that every reader shares.
  InputError(const std::string& where,
             const std::string& expected,
             const std::string& found,
             const std::string& what_to_do = "")
      : std::runtime_error(where + ": expected " + expected + ", found " + found + "." +
                           (what_to_do.empty() ? "" : " " + what_to_do)) {}
};

// A profile or a plan that is sound in itself but was made for another model (exit code 4).
class ModelMismatch : public InputError {
 public:
  using InputError::InputError;
};

}  // namespace headscope
