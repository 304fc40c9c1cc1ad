// Compile a model once, run it many times, from any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pit/cancel.h"
#include "pit/error.h"
#include "pit/export.h"
#include "pit/limits.h"
#include "pit/poison.h"
#include "pit/tensor.h"

namespace pit {

enum class Sparsity {
  automatic,  ///< derive from the graph where zeros and don't-cares come from, and skip them
  off         ///< treat everything as dense (same kernels, same answers)
};

/// One requested output. With `mask` (the name of an input), only the elements whose mask is non-zero are demanded:
/// the mask's axes are the leading axes of the output; undemanded elements come back as zero.
struct OutputSpec {
  std::string name;
  std::string mask;
};

struct CompileOptions {
  std::vector<OutputSpec> outputs;  ///< empty: every output of the model, in full
  int threads = 0;                  ///< 0: from the process's affinity and cgroup quota
  Sparsity sparsity = Sparsity::automatic;
  std::string precision = "f32";  ///< only "f32" so far
  Poison poison = Poison::none;   ///< debug: fill buffers before use (also PIT_POISON=nan or large)
  /// Measured times of its runs correct the times by which products choose how they skip zeros in values (off also by
  /// PIT_LEARN=0). Results do not change.
  bool learn = true;
  std::string cpu;  ///< target CPU, e.g. "haswell" (also PIT_CPU); empty: this machine
  /// compiled code; empty: PIT_CACHE_DIR or the user's cache directory; "none": no cache
  std::string cache_dir;
  std::optional<CancelToken> cancel;  ///< ends compiling with a CancelledError
  /// Called by the compiling thread, with the stage's name and the share of the usual time that lies behind, 0 to 1.
  /// What it throws ends compiling.
  std::function<void(std::string_view stage, double share)> progress;
  CompileLimits limits;  ///< what a model may ask for
};

struct RunOptions {
  /// Which of `Model::outputs()` are wanted, by name; empty: all of them. What only others need is not
  /// computed, unless an extent is found by it (NonZero).
  std::vector<std::string> outputs;
  /// Memory of the caller's for outputs, by name: of the right type and extents, any strides, apart from the inputs'
  /// and each other's. Outputs are computed in place where the memory is contiguous. The returned tensors of these
  /// names are views of it.
  std::map<std::string, TensorView> out;
  std::optional<CancelToken> cancel;  ///< ends the run with a CancelledError; what `out` names is undefined then
};

/// A declared input or output. A dimension that is free carries its symbolic name and the extent -1.
struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::vector<std::string> dims;
};

using TensorMap = std::map<std::string, Tensor>;

/// A compiled model. Copies share everything. `run` may be called from many threads at once.
class PIT_API Model {
 public:
  /// Reads an ONNX file; external data is looked up beside it. Throws ModelError, UnsupportedError, InputError.
  static Model load(const std::string& path, const CompileOptions& options = {});
  /// The same from memory; a model with external data needs `load`.
  static Model from_bytes(const void* data, std::size_t size, const CompileOptions& options = {});

  const std::vector<TensorInfo>& inputs() const;
  const std::vector<TensorInfo>& outputs() const;

  /// Computes the requested outputs. `inputs` must name every input of the model that the outputs need and nothing
  /// else. Views are read in place when contiguous. Throws InputError; the model stays usable.
  TensorMap run(const std::map<std::string, TensorView>& inputs, const RunOptions& options = {}) const;

  /// What PIT found: per operator its expression, permutable axes, sources of sparsity and demand.
  /// With inputs also live fractions and the rule chosen. `json`: the same as one JSON object.
  std::string explain(const std::map<std::string, TensorView>* inputs = nullptr, bool json = false,
                      const RunOptions& options = {}) const;

  /// What one stage of the compiler has made of the model, as text: "graph" (nodes after simplification), "masks" (per
  /// value, what may be non-zero and what is demanded), "groups" (what runs as one kernel), "schedules" (the rules that
  /// apply to each product, with blocking and predicted seconds), "kernels" (the generated kernels' IR) or "asm" (their
  /// assembly for the model's CPU). Nothing of it is kept: the last two are generated anew, which takes seconds for a
  /// large model. `inputs` give "schedules" their sizes (without: assumed, and said). Throws InputError for another
  /// name, listing these.
  std::string dump(std::string_view stage, const std::map<std::string, TensorView>* inputs = nullptr,
                   const RunOptions& options = {}) const;

  /// Runs `repeat` times with a clock per operator; a table, or JSON (also in Chrome's trace format under
  /// "traceEvents").
  std::string profile(const std::map<std::string, TensorView>& inputs, int repeat = 5, bool json = false,
                      const RunOptions& options = {}) const;

  struct Impl;
  struct Access;

 private:
  friend struct Access;
  explicit Model(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

/// The op set: every supported operator with its expression and permutable axes, refusals with reasons.
PIT_API std::string op_table(bool json = false);

/// "0.1.0"
PIT_API const char* version() noexcept;

}  // namespace pit
