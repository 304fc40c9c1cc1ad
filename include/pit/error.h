// Typed errors. The library never aborts and never prints: whatever goes wrong arrives as one of these.
//
// Three voices (docs: ARCHITECTURE.md, "Errors"):
//   * the user's mistake  -> ModelError, UnsupportedError, InputError; each names the operator and the tensor it is
//     about
//                            (empty when there is none) and says what would be right;
//   * our own bug         -> InternalError, with context;
//   * a survivable oddity -> a warning through the log hook (pit/log.h), and everything goes on.
#pragma once

#include <stdexcept>
#include <string>

#include "pit/export.h"

namespace pit {

/// Base of everything PIT throws.
class PIT_API Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, std::string op = {}, std::string tensor = {})
      : std::runtime_error(message), op_(std::move(op)), tensor_(std::move(tensor)) {}
  ~Error() override;

  /// Name (and kind) of the operator the error is about, e.g. "MatMul 'encoder.0.query'"; empty if none.
  const std::string& op() const noexcept { return op_; }
  /// Name of the tensor the error is about; empty if none.
  const std::string& tensor() const noexcept { return tensor_; }

 private:
  std::string op_, tensor_;
};

/// The model file is not what it should be: truncated, inconsistent, missing external data, path outside its folder.
class PIT_API ModelError : public Error {
 public:
  using Error::Error;
  ~ModelError() override;
};

/// The model is valid, but uses something PIT does not support: an operator, an opset, a dtype, an attribute.
class PIT_API UnsupportedError : public Error {
 public:
  using Error::Error;
  ~UnsupportedError() override;
};

/// A call does not fit the model: missing or unknown input, wrong dtype or rank, inconsistent dimensions, a bad option.
class PIT_API InputError : public Error {
 public:
  using Error::Error;
  ~InputError() override;
};

/// The caller ended it, by a CancelToken (pit/cancel.h). Nothing is wrong.
class PIT_API CancelledError : public Error {
 public:
  using Error::Error;
  ~CancelledError() override;
};

/// A bug in PIT. Please report it with the message.
class PIT_API InternalError : public Error {
 public:
  using Error::Error;
  ~InternalError() override;
};

}  // namespace pit
