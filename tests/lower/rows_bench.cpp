// Throughput of generated kernels on this machine, one thread: ns per element of row programs, GF/s of tiles, GB/s of
// packing. Not a test. Usage: rows_bench [cpu] [filter]; data in L1/L2; the best of several runs.
#include <chrono>
#include <cstring>
#include <ctime>
#include <fmt/format.h>
#include <functional>
#include <random>

#include "codegen/codegen.h"
#include "lower/rows.h"
#include "lower/tile.h"

namespace {

using namespace pit;

/// The fastest of many short windows: shorter than a time slice, so that a busy machine leaves some undisturbed.
double best_seconds(const std::function<void()>& f) {
  using Clock = std::chrono::steady_clock;
  auto window = [&](int calls) {
    auto t = Clock::now();
    for (int i = 0; i < calls; ++i) f();
    return std::chrono::duration<double>(Clock::now() - t).count();
  };
  int calls = 1;
  while (window(calls) < 60e-6) calls *= 2;
  double best = 1e9, until = 0;
  for (int r = 0; r < 400 && until < 0.5; ++r) {
    double s = window(calls);
    best = std::min(best, s / calls);
    until += s;
  }
  return best;
}

Tensor floats(std::int64_t n) {
  Tensor t(DType::f32, {n});
  std::mt19937 random(1);
  for (std::int64_t i = 0; i < n; ++i) t.as<float>()[i] = static_cast<float>(random() % 2000) / 1000 - 1;
  return t;
}

struct Bench {
  CpuTarget target;
  std::string filter;

  bool wanted(const std::string& name) const { return name.find(filter) != std::string::npos; }

  codegen::KernelFn compile(const codegen::Kernel& k, std::shared_ptr<const codegen::Code>* keep,
                            double* seconds = nullptr) const {
    codegen::Options o;
    o.target = target;
    std::clock_t t = std::clock();  // CPU time: the machine may be busy
    *keep = codegen::compile({k}, o);
    if (seconds) *seconds = static_cast<double>(std::clock() - t) / CLOCKS_PER_SEC;
    return (*keep)->function(k.name);
  }

  /// A program over r (rows) and c (inner); inputs named by their axes: X* [r,c], V* [c].
  void rows(const std::string& name, const std::string& text, int rows, int columns, bool assembly = false) const {
    if (!wanted(name)) return;
    lower::RowSpec spec;
    spec.name = name;
    spec.target = target;
    spec.program = expr::parse(text);
    for (auto& t : spec.program.tensors)
      if (t.role != expr::Role::temp) t.dtype = t.name[0] == 'K' ? DType::b8 : DType::f32;
    expr::check(spec.program);
    for (const std::string& a : spec.program.axes)
      spec.roles.push_back(a == "c" ? lower::AxisRole::inner : lower::AxisRole::outer);
    spec.operands = lower::collect_operands(spec.program);
    std::vector<Tensor> data;
    std::vector<std::int32_t> index(rows);
    for (int i = 0; i < rows; ++i) index[i] = i;
    std::vector<void*> ptrs{index.data()};
    for (auto& o : spec.operands) {
      bool moves =
          expr::axes_of(o.index.back()).size() == 1 && spec.program.axes[expr::axes_of(o.index.back())[0]] == "c";
      o.inner = moves ? lower::InnerAccess::unit : lower::InnerAccess::broadcast;
      data.push_back(floats(static_cast<std::int64_t>(rows) * columns));
      ptrs.push_back(data.back().data());
    }
    lower::RowKernel k = lower::lower_rows(spec);
    Tensor scratch = floats((k.scratch_rows + 1) * (columns + 64) * 2);
    if (k.scratch_rows) ptrs.push_back(scratch.data());
    std::vector<std::int64_t> ints;
    for (const lower::Slot& s : k.ints) {
      std::int64_t size = s.kind >= lower::Slot::row_stride && s.kind <= lower::Slot::inner_stride
                              ? static_cast<std::int64_t>(size_of(spec.operands[s.a].dtype))
                              : 4;
      std::int64_t row = s.kind == lower::Slot::row_stride && spec.operands[s.a].inner == lower::InnerAccess::broadcast
                             ? size
                             : size * columns;
      ints.push_back(s.kind == lower::Slot::row_count ? rows : s.kind == lower::Slot::row_stride ? row : columns);
    }
    if (assembly) fmt::print("{}\n", codegen::assembly({k.kernel}, target));
    std::shared_ptr<const codegen::Code> keep;
    double compile_s = 0;
    codegen::KernelFn f = compile(k.kernel, &keep, &compile_s);
    double s = best_seconds([&] { f(ptrs.data(), ints.data()); });
    double n = static_cast<double>(rows) * columns;
    fmt::print("{:10} {:28} {:4}x{:<5} {:7.4f} ns/element {:7.2f} ns/vector, scratch rows {}, compiled in {:.1f} ms\n",
               target.name, name, rows, columns, s / n * 1e9, s / n * 1e9 * target.lanes(4), k.scratch_rows,
               compile_s * 1e3);
  }

  void tile(int rows, int vectors, int k, bool indexed, bool far, bool assembly = false) const {
    int width = vectors * target.lanes(4);
    std::string name =
        fmt::format("tile {}x{}{}{} k={}", rows, width, indexed ? " indexed" : "", far ? " B from L2" : "", k);
    if (!wanted(name)) return;
    lower::TileSpec spec;
    spec.rows = rows, spec.vectors = vectors, spec.indexed_k = indexed, spec.target = target;
    codegen::Kernel kernel = lower::lower_tile(spec);
    if (assembly) fmt::print("{}\n", codegen::assembly({kernel}, target));
    std::shared_ptr<const codegen::Code> keep;
    double compile_s = 0;
    codegen::KernelFn f = compile(kernel, &keep, &compile_s);
    int panels = far ? 8 : 1;
    Tensor a = floats(k * rows), b = floats(static_cast<std::int64_t>(panels) * 2 * k * width),
           c = floats(static_cast<std::int64_t>(rows) * width);
    std::vector<std::int32_t> offset(k + 64);
    for (int i = 0; i < k; ++i) offset[i] = (indexed ? 2 * i + (i * 7919 % 2) : i) * width * 4;
    std::vector<float*> c_rows;
    for (int i = 0; i < rows; ++i) c_rows.push_back(c.as<float>() + i * width);
    std::vector<std::int64_t> ints{k, width, 1, 1, 1, 0, 0, 0, 0, 0};
    int panel = 0;
    double s = best_seconds([&] {
      std::vector<void*> ptrs{a.data(), b.as<float>() + static_cast<std::int64_t>(panel) * 2 * k * width};
      if (indexed) ptrs.push_back(offset.data());
      ptrs.push_back(c_rows.data());
      panel = (panel + 1) % panels;
      f(ptrs.data(), ints.data());
    });
    fmt::print("{:10} {:40} {:7.1f} GF/s, compiled in {:.1f} ms\n", target.name, name, 2.0 * rows * width * k / s / 1e9,
               compile_s * 1e3);
  }

  void pack(const std::string& name, const codegen::Kernel& kernel, int width, int k, bool rows_of_pointers,
            bool indexed) const {
    if (!wanted(name)) return;
    std::shared_ptr<const codegen::Code> keep;
    codegen::KernelFn f = compile(kernel, &keep);
    Tensor dst = floats(static_cast<std::int64_t>(k + 8) * width),
           src = floats(static_cast<std::int64_t>(width + 1) * (k + 48) + 64);
    std::vector<float*> pointers;
    for (int i = 0; i < width; ++i) pointers.push_back(src.as<float>() + static_cast<std::int64_t>(i) * (k + 16));
    std::vector<std::int32_t> index(k);
    for (int i = 0; i < k; ++i) index[i] = i;
    std::vector<void*> ptrs{dst.data(), rows_of_pointers ? static_cast<void*>(pointers.data()) : src.data()};
    if (indexed) ptrs.push_back(index.data());
    std::vector<std::int64_t> ints{k, width, rows_of_pointers ? 4 : 4 * width};
    double s = best_seconds([&] { f(ptrs.data(), ints.data()); });
    fmt::print("{:10} {:40} {:7.1f} GB/s read\n", target.name, name, 4.0 * k * width / s / 1e9);
  }

  void run() const {
    const int r = 32, c = 384;
    rows("add", "Y[r,c] = X[r,c] + X2[r,c]", r, c);
    rows("bias", "Y[r,c] = X[r,c] + V[c]", r, c);
    rows("gelu erf", "Y[r,c] = X[r,c] * 0.5 * (1 + erf(X[r,c] / 1.4142135))", r, c);
    rows("gelu tanh", "Y[r,c] = 0.5 * X[r,c] * (1 + tanh(0.7978845608 * (X[r,c] + 0.044715 * pow(X[r,c], 3))))", r, c);
    rows("exp", "Y[r,c] = exp(X[r,c])", r, c);
    rows("max", "m[r] max= X[r,c]", r, c);
    rows("sum", "m[r] += X[r,c]", r, c);
    const std::string softmax = "m[r] max= T[r,c]; e[r,c] = exp(T[r,c] - m[r]); z[r] += e[r,c]; Y[r,c] = e[r,c] / z[r]";
    std::string plain = softmax;
    for (std::size_t at; (at = plain.find('T')) != std::string::npos;) plain[at] = 'X';
    for (int n : {16, 20, 32, 64, 128, 384, 389}) rows("softmax", plain, r, n);
    rows("softmax masked", "T[r,c] = X[r,c] * 0.125 + V[c]; " + softmax, r, 128);
    rows("softmax boolean mask", "T[r,c] = select(K[r,c], X[r,c], -inf); " + softmax, r, 128);
    const std::string norm =
        "s[r] += X[r,c]; mean[r] = s[r] / cast_f32(|c|); d[r,c] = X[r,c] - mean[r]; v[r] += d[r,c] * d[r,c];"
        "i[r] = 1 / sqrt(v[r] / cast_f32(|c|) + 0.00001); Y[r,c] = d[r,c] * i[r] * V[c] + V2[c]";
    for (int n : {384, 768, 389}) rows("layer norm", norm, r, n);
    rows("layer norm after residual", "X[r,c] = X3[r,c] + X4[r,c]; " + norm, r, c);
    rows("rms norm",
         "s[r] += X[r,c] * X[r,c]; i[r] = rsqrt(s[r] / cast_f32(|c|) + 0.00001); Y[r,c] = X[r,c] * i[r] * V[c]", r, c);
    bool wide = target.vector_bytes == 64;
    for (bool far : {false, true})
      for (bool indexed : {false, true}) {
        if (wide) tile(8, 3, 384, indexed, far), tile(4, 3, 384, indexed, far), tile(1, 3, 384, indexed, far);
        else tile(6, 2, 384, indexed, far), tile(3, 2, 384, indexed, far), tile(1, 2, 384, indexed, far);
      }
    for (int width : {4, 6, 8, 16, 32, 48})
      for (bool indexed : {false, true}) {
        const char* how = indexed ? " indexed" : "";
        for (int k : {64, 384}) {
          pack(fmt::format("pack transpose {}{} k={}", width, how, k),
               lower::lower_pack_transpose(width, indexed, target), width, k, true, indexed);
          pack(fmt::format("pack copy {}{} k={}", width, how, k), lower::lower_pack_copy(width, indexed, target), width,
               k, false, indexed);
        }
      }
    pack("pack gather 8", lower::lower_pack_gather(8, false, target), 8, 384, true, false);
  }
};

}  // namespace

int main(int argc, char** argv) {
  Bench b;
  b.target = cpu_target(argc > 1 ? argv[1] : "");
  b.filter = argc > 2 ? argv[2] : "";
  b.run();
}
