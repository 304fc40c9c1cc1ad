// Shapes -> plans and runs of compiled models: the first byte chooses one of the models in build/fuzz/models (seeds.py
// puts them there), the others the types, ranks and extents of its inputs, what is left out, which outputs are wanted.
// A call that does not fit is an InputError; the model stays usable, and gives what it gave before, buffers poisoned or
// not.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "fuzz/fuzz.h"

#include "pit/pit.h"

namespace {

using namespace pit;
using fuzz::Bytes;
using fuzz::require;

constexpr std::int64_t kMaxElements = 4096;  // of an input

struct Entry {
  std::string path;
  bool tried;
  std::optional<Model> plain,
      poisoned;  // nothing where it is not supported: some operators want extents that are known
};

std::vector<Entry>& models() {
  static std::vector<Entry> all = [] {
    std::vector<Entry> found;
    for (const auto& e : std::filesystem::directory_iterator(PIT_BINARY_DIR "/models"))
      if (e.path().extension() == ".onnx") found.push_back({e.path().string(), false, {}, {}});
    std::sort(found.begin(), found.end(), [](const Entry& a, const Entry& b) { return a.path < b.path; });
    require(!found.empty(), "no models in " PIT_BINARY_DIR "/models: run tests/fuzz/seeds.py");
    return found;
  }();
  return all;
}

void compile(Entry& e) {
  CompileOptions options;
  options.threads = 1;
  options.cache_dir = PIT_BINARY_DIR "/code";
  e.tried = true;
  fuzz::answers([&] { e.plain = Model::load(e.path, options); });
  options.poison = Poison::nan;
  if (e.plain) e.poisoned = Model::load(e.path, options);
}

const Entry& chosen(Bytes& bytes) {
  Entry& e = models()[static_cast<std::size_t>(bytes.byte()) % models().size()];
  if (!e.tried) compile(e);
  return e;
}

// Extents that fit each other by the names of the dimensions, unless the bytes want otherwise.
class Shapes {
 public:
  explicit Shapes(Bytes& bytes) : bytes_(bytes) {}

  Shape of(const TensorInfo& info) {
    Shape shape;
    for (std::size_t d = 0; d < info.shape.size(); ++d) {
      std::int64_t e = info.shape[d];
      if (e < 0)
        e = named_.try_emplace(info.dims[d], 0).second ? named_[info.dims[d]] = extent() : named_[info.dims[d]];
      if (bytes_.one_in(32)) e = extent();
      shape.push_back(e);
    }
    if (bytes_.one_in(64)) shape.push_back(1);
    if (bytes_.one_in(64) && !shape.empty()) shape.pop_back();
    return shape;
  }

 private:
  std::int64_t extent() {
    static constexpr std::int64_t kHuge[] = {100, 1000, std::int64_t{1} << 31, std::int64_t{1} << 62, -1};
    const int what = bytes_.pick(40);
    return what < 34 ? what % 17 : what == 34 ? 33 : kHuge[what - 35];
  }

  Bytes& bytes_;
  std::map<std::string, std::int64_t> named_;
};

// Elements of an input, or more than the limit. An empty input may have a long axis, of which the model makes a square:
// what fits no memory at all is refused, the rest would be gigabytes that the caller asked for.
std::int64_t elements(const Shape& shape) {
  constexpr std::int64_t refused = std::int64_t{1} << 44;
  if (std::any_of(shape.begin(), shape.end(), [](std::int64_t e) { return e > kMaxElements && e < refused; }))
    return kMaxElements + 1;
  std::int64_t n = 1;
  for (const std::int64_t e : shape) {
    if (e <= 0) return 0;
    n = e > kMaxElements ? kMaxElements + 1 : std::min(n * e, kMaxElements + 1);
  }
  return n;
}

struct Call {
  std::vector<std::vector<char>> storage;
  std::map<std::string, TensorView> inputs;
  RunOptions options;
};

void fill(const TensorInfo& info, Bytes& bytes, std::vector<char>* data) {
  const int kind = bytes.pick(4);
  for (std::size_t i = 0; i < data->size() / size_of(info.dtype); ++i) {
    const int v = kind == 0 ? 0 : kind == 1 ? 1 : kind == 2 ? bytes.byte() % 3 : static_cast<int>(bytes.byte()) - 128;
    const auto put = [&]<class T>(T x) { std::memcpy(data->data() + i * sizeof x, &x, sizeof x); };
    switch (info.dtype) {
      case DType::f32: put(static_cast<float>(v)); break;
      case DType::f64: put(static_cast<double>(v)); break;
      case DType::i64: put(static_cast<std::int64_t>(v)); break;
      case DType::i32: put(static_cast<std::int32_t>(v)); break;
      case DType::f16: put(static_cast<std::uint16_t>(v << 8)); break;
      case DType::b8: put(static_cast<std::uint8_t>(v & 1)); break;
      default: put(static_cast<std::uint8_t>(v));
    }
  }
}

// A call; nothing if it would need more memory than a test should take.
std::optional<Call> call_of(const Model& model, Bytes& bytes) {
  Call call;
  Shapes shapes(bytes);
  for (const TensorInfo& info : model.inputs()) {
    if (bytes.one_in(128)) continue;
    TensorView view{nullptr, bytes.one_in(64) ? DType::i8 : info.dtype, shapes.of(info), {}};
    if (elements(view.shape) > kMaxElements) return std::nullopt;
    call.storage.emplace_back(static_cast<std::size_t>(elements(view.shape)) * size_of(info.dtype));
    fill(info, bytes, &call.storage.back());
    view.data = call.storage.back().data();
    call.inputs[info.name] = view;
  }
  if (bytes.one_in(16) && !model.outputs().empty()) call.options.outputs = {bytes.of(model.outputs()).name};
  return call;
}

bool same(const TensorMap& a, const TensorMap& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.shape() == y.second.shape() &&
           (x.second.bytes() == 0 || std::memcmp(x.second.data(), y.second.data(), x.second.bytes()) == 0);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, size);
  const Entry& entry = chosen(bytes);
  if (!entry.plain) return 0;
  const Model& model = *entry.plain;
  std::optional<Call> first, between;
  if (!(first = call_of(model, bytes))) return 0;
  TensorMap once, again, poisoned;
  const bool ran = fuzz::answers([&] { once = model.run(first->inputs, first->options); });
  if ((between = call_of(model, bytes))) fuzz::answers([&] { model.run(between->inputs, between->options); });
  require(ran == fuzz::answers([&] { again = model.run(first->inputs, first->options); }), "only one call is refused");
  require(same(once, again), "the same call gives other bits");
  require(ran == fuzz::answers([&] { poisoned = entry.poisoned->run(first->inputs, first->options); }),
          "only one of the calls is refused, with poison or without");
  require(same(once, poisoned), "other bits with poison");
  return 0;
}
