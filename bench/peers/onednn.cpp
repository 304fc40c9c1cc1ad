// oneDNN: the matmul primitive, dense (weights in the format that it likes best) and with A in CSR where this version
// has it.
#include <cstdint>
#include <dnnl.hpp>
#include <memory>
#include <unordered_map>

#include "convert.h"

namespace {
using dnnl::memory;

struct Matmul {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  dnnl::matmul primitive;
  memory a, b, c, packed;
  std::unordered_map<int, memory> arguments;
  bool weights_packed = false;
  std::int64_t m = 0, n = 0, k = 0;
  bench::Csr<std::int32_t> csr;
};

dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, const memory::desc& a, const memory::desc& b,
                                      const memory::desc& c) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, a, b, c};
#else
  return {dnnl::matmul::desc(a, b, c), engine};
#endif
}

}  // namespace

extern "C" {

int onednn_version() { return DNNL_VERSION_MAJOR * 10000 + DNNL_VERSION_MINOR * 100 + DNNL_VERSION_PATCH; }
int onednn_has_csr() { return DNNL_VERSION_MAJOR >= 3; }

/// `weights`: packed here, once, in any format; null: B comes with each call, row-major. Null if oneDNN refuses.
void* onednn_new(std::int64_t m, std::int64_t n, std::int64_t k, const float* weights) try {
  auto s = std::make_unique<Matmul>();
  s->m = m, s->n = n, s->k = k;
  const auto f32 = memory::data_type::f32;
  const memory::desc a({m, k}, f32, memory::format_tag::ab), c({m, n}, f32, memory::format_tag::ab);
  const memory::desc plain({k, n}, f32, memory::format_tag::ab);
  const memory::desc b({k, n}, f32, weights ? memory::format_tag::any : memory::format_tag::ab);
  const auto description = describe(s->engine, a, b, c);
  s->primitive = dnnl::matmul(description);
  s->a = memory(a, s->engine, nullptr);
  s->c = memory(c, s->engine, nullptr);
  s->b = memory(plain, s->engine, nullptr);
  if (weights) {
    s->packed = memory(description.weights_desc(), s->engine);
    s->b.set_data_handle(const_cast<float*>(weights));
    dnnl::reorder(s->b, s->packed).execute(s->stream, s->b, s->packed);
    s->stream.wait();
    s->weights_packed = true;
  }
  s->arguments = {{DNNL_ARG_SRC, s->a}, {DNNL_ARG_WEIGHTS, weights ? s->packed : s->b}, {DNNL_ARG_DST, s->c}};
  return s.release();
} catch (const dnnl::error&) {
  return nullptr;
}

int onednn_run(void* self, const float* a, const float* b, float* c) try {
  auto* s = static_cast<Matmul*>(self);
  s->a.set_data_handle(const_cast<float*>(a));
  if (!s->weights_packed) s->b.set_data_handle(const_cast<float*>(b));
  s->c.set_data_handle(c);
  s->primitive.execute(s->stream, s->arguments);
  s->stream.wait();
  return 0;
} catch (const dnnl::error&) {
  return 1;
}

int onednn_csr(void* self, const float* a, const float* b, float* c) try {
#if DNNL_VERSION_MAJOR >= 3
  auto* s = static_cast<Matmul*>(self);
  bench::to_csr(a, s->m, s->k, s->csr);
  const auto f32 = memory::data_type::f32;
  const std::int64_t live = s->csr.offsets[std::size_t(s->m)];
  const auto md = memory::desc::csr({s->m, s->k}, f32, live, memory::data_type::s32, memory::data_type::s32);
  const memory::desc dense_b({s->k, s->n}, f32, memory::format_tag::ab),
      dense_c({s->m, s->n}, f32, memory::format_tag::ab);
  // A primitive of its own per number of live values: the descriptor holds it. oneDNN's primitive cache makes that
  // cheap.
  const dnnl::matmul primitive(describe(s->engine, md, dense_b, dense_c));
  memory ma(md, s->engine, {s->csr.values.data(), s->csr.columns.data(), s->csr.offsets.data()});
  memory mb(dense_b, s->engine, const_cast<float*>(b)), mc(dense_c, s->engine, c);
  primitive.execute(s->stream, {{DNNL_ARG_SRC, ma}, {DNNL_ARG_WEIGHTS, mb}, {DNNL_ARG_DST, mc}});
  s->stream.wait();
  return 0;
#else
  (void)self, (void)a, (void)b, (void)c;
  return 1;
#endif
} catch (const dnnl::error&) {
  return 1;
}

void onednn_free(void* self) { delete static_cast<Matmul*>(self); }
}
