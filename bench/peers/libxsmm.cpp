// libxsmm: spmdm (dense A with zeros, compressed on the fly) and batch-reduce GEMM over live blocks.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <libxsmm.h>
#include <omp.h>
#include <vector>

#include "convert.h"

namespace {

struct Spmdm {
  libxsmm_spmdm_handle handle;
  libxsmm_CSR_sparseslice* slices = nullptr;
};

/// Batch-reduce GEMM over the live `height x width` blocks of A. libxsmm is column-major, so C^T = B^T A^T: its "A" is
/// B, its "B" is A.
struct Blocks {
  std::int64_t m, n, k, height, width, panel;
  std::vector<float> panels;  // B as [n / panel][k][panel]: what a user who cares would lay out once
  std::vector<std::uint8_t> live;
  std::vector<float> packed;          // live blocks of A, row-major, row of blocks by row of blocks
  std::vector<std::int64_t> offsets;  // first live block of each row of blocks
  std::vector<std::int64_t> columns;
  libxsmm_smmfunction_reducebatch_addr kernel = nullptr;

  void pack_b(const float* b) {
    panels.resize(std::size_t(k * n));
#pragma omp parallel for schedule(static)
    for (std::int64_t j = 0; j < n / panel; ++j)
      for (std::int64_t r = 0; r < k; ++r)
        for (std::int64_t c = 0; c < panel; ++c)
          panels[std::size_t((j * k + r) * panel + c)] = b[r * n + j * panel + c];
  }
};

/// The live blocks of C only: C[i,j] = sum over k of A[i,k] B[k,j].
struct Sampled {
  std::int64_t m, n, k, height, width, depth;
  std::vector<float> panels;
  libxsmm_smmfunction_reducebatch_addr kernel = nullptr;

  void pack_b(const float* b) {
    panels.resize(std::size_t(k * n));
#pragma omp parallel for schedule(static)
    for (std::int64_t j = 0; j < n / width; ++j)
      for (std::int64_t r = 0; r < k; ++r)
        for (std::int64_t x = 0; x < width; ++x)
          panels[std::size_t((j * k + r) * width + x)] = b[r * n + j * width + x];
  }
};

libxsmm_smmfunction_reducebatch_addr dispatch(std::int64_t columns, std::int64_t rows, std::int64_t depth,
                                              std::int64_t ld_b, std::int64_t ld_a, std::int64_t ld_c) {
  const libxsmm_blasint lda = libxsmm_blasint(ld_b), ldb = libxsmm_blasint(ld_a), ldc = libxsmm_blasint(ld_c);
  const float alpha = 1, beta = 0;
  return libxsmm_smmdispatch_reducebatch_addr(libxsmm_blasint(columns), libxsmm_blasint(rows), libxsmm_blasint(depth),
                                              &lda, &ldb, &ldc, &alpha, &beta, nullptr, nullptr);
}

}  // namespace

extern "C" {

const char* xsmm_target() {
  libxsmm_init();
  return libxsmm_get_target_arch();
}

void* spmdm_new(std::int64_t m, std::int64_t n, std::int64_t k, int threads) {
  libxsmm_init();
  auto* s = new Spmdm;
  libxsmm_spmdm_init(int(m), int(n), int(k), threads, &s->handle, &s->slices);
  return s;
}

void spmdm_compress(void* self, const float* a) {
  auto* s = static_cast<Spmdm*>(self);
  const int blocks = libxsmm_spmdm_get_num_createSparseSlice_blocks(&s->handle);
#pragma omp parallel
  {
    const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
#pragma omp for schedule(dynamic)
    for (int i = 0; i < blocks; ++i)
      libxsmm_spmdm_createSparseSlice_fp32_thread(&s->handle, 'N', a, s->slices, i, thread, threads);
  }
}

void spmdm_multiply(void* self, const float* b, float* c) {
  auto* s = static_cast<Spmdm*>(self);
  const int blocks = libxsmm_spmdm_get_num_compute_blocks(&s->handle);
  const float alpha = 1, beta = 0;
#pragma omp parallel
  {
    const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
#pragma omp for schedule(dynamic)
    for (int i = 0; i < blocks; ++i)
      libxsmm_spmdm_compute_fp32_thread(&s->handle, 'N', 'N', &alpha, s->slices, b, 'N', &beta, c, i, thread, threads);
  }
}

void spmdm_free(void* self) {
  auto* s = static_cast<Spmdm*>(self);
  libxsmm_spmdm_destroy(&s->handle);
  delete s;
}

void* blocks_new(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t height, std::int64_t width,
                 const float* b) {
  libxsmm_init();
  const std::int64_t panel = n % 64 == 0 ? 64 : n % 48 == 0 ? 48 : n % 32 == 0 ? 32 : 0;
  if (panel == 0 || m % height || k % width) return nullptr;
  auto* s = new Blocks{m, n, k, height, width, panel, {}, {}, {}, {}, {}, nullptr};
  s->kernel = dispatch(panel, height, width, panel, width, n);
  if (!s->kernel) {
    delete s;
    return nullptr;
  }
  if (b) s->pack_b(b);
  return s;
}

/// `b`: null if packed by blocks_new.
void blocks_multiply(void* self, const float* a, const float* b, float* c) {
  auto* s = static_cast<Blocks*>(self);
  if (b) s->pack_b(b);
  const std::int64_t down = s->m / s->height, across = s->k / s->width, size = s->height * s->width;
  bench::live_blocks(a, s->m, s->k, s->height, s->width, s->live);
  s->offsets.assign(std::size_t(down) + 1, 0);
  s->columns.clear();
  for (std::int64_t i = 0; i < down; ++i) {
    for (std::int64_t j = 0; j < across; ++j)
      if (s->live[std::size_t(i * across + j)]) s->columns.push_back(j);
    s->offsets[std::size_t(i) + 1] = std::int64_t(s->columns.size());
  }
  if (std::int64_t(s->packed.size()) < std::int64_t(s->columns.size()) * size)
    s->packed.resize(s->columns.size() * std::size_t(size));
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < down; ++i)
    for (std::int64_t r = 0; r < s->height; ++r) {  // rows outside: A is read along its rows
      const float* row = a + (i * s->height + r) * s->k;
      for (std::int64_t p = s->offsets[std::size_t(i)]; p < s->offsets[std::size_t(i) + 1]; ++p) {
        const float* from = row + s->columns[std::size_t(p)] * s->width;
        float* to = s->packed.data() + p * size + r * s->width;
        for (std::int64_t w = 0; w < s->width; ++w) to[w] = from[w];
      }
    }
  // Rows of blocks are taken in groups of about 2 MB of packed A, so that neither A nor the panels of B come from
  // memory too often.
  const std::int64_t group_bytes = 2 << 20;
  std::int64_t first = 0;
  while (first < down) {
    std::int64_t last = first + 1;
    while (last < down && (s->offsets[std::size_t(last) + 1] - s->offsets[std::size_t(first)]) * size * 4 < group_bytes)
      ++last;
#pragma omp parallel
    {
      std::vector<const float*> pa, pb;
#pragma omp for schedule(dynamic)
      for (std::int64_t j = 0; j < s->n / s->panel; ++j) {
        const float* panel = s->panels.data() + j * s->k * s->panel;
        for (std::int64_t i = first; i < last; ++i) {
          const std::int64_t begin = s->offsets[std::size_t(i)], count = s->offsets[std::size_t(i) + 1] - begin;
          float* target = c + i * s->height * s->n + j * s->panel;
          if (count == 0) {
            for (std::int64_t r = 0; r < s->height; ++r)
              for (std::int64_t x = 0; x < s->panel; ++x) target[r * s->n + x] = 0;
            continue;
          }
          pa.resize(std::size_t(count));
          pb.resize(std::size_t(count));
          for (std::int64_t p = 0; p < count; ++p) {
            pb[std::size_t(p)] = panel + s->columns[std::size_t(begin + p)] * s->width * s->panel;
            pa[std::size_t(p)] = s->packed.data() + (begin + p) * size;
          }
          const unsigned long long batch = (unsigned long long)count;
          s->kernel(pb.data(), pa.data(), target, &batch);
        }
      }
    }
    first = last;
  }
}

void blocks_free(void* self) { delete static_cast<Blocks*>(self); }

void* sampled_new(std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t height, std::int64_t width,
                  const float* b) {
  libxsmm_init();
  const std::int64_t depth = k % 128 == 0 ? 128 : k % 64 == 0 ? 64 : 0;
  if (depth == 0 || m % height || n % width) return nullptr;
  auto* s = new Sampled{m, n, k, height, width, depth, {}, nullptr};
  s->kernel = dispatch(width, height, depth, width, k, n);
  if (!s->kernel) {
    delete s;
    return nullptr;
  }
  if (b) s->pack_b(b);
  return s;
}

/// `live`: [m / height, n / width], non-zero where wanted; the rest of C becomes 0. `b`: null if packed by sampled_new.
void sampled_multiply(void* self, const float* a, const float* b, const std::uint8_t* live, float* c) {
  auto* s = static_cast<Sampled*>(self);
  if (b) s->pack_b(b);
  const std::int64_t across = s->n / s->width;
#pragma omp parallel
  {
    const std::int64_t steps = s->k / s->depth;
    std::vector<const float*> pa(static_cast<std::size_t>(steps)), pb(static_cast<std::size_t>(steps));
#pragma omp for schedule(dynamic)
    for (std::int64_t i = 0; i < s->m / s->height; ++i)
      for (std::int64_t j = 0; j < across; ++j) {
        if (!live[i * across + j]) {
          for (std::int64_t r = i * s->height; r < (i + 1) * s->height; ++r)
            std::memset(c + r * s->n + j * s->width, 0, static_cast<std::size_t>(s->width) * 4);
          continue;
        }
        for (std::int64_t p = 0; p < steps; ++p) {
          pb[std::size_t(p)] = s->panels.data() + (j * s->k + p * s->depth) * s->width;
          pa[std::size_t(p)] = a + i * s->height * s->k + p * s->depth;
        }
        const unsigned long long batch = (unsigned long long)steps;
        s->kernel(pb.data(), pa.data(), c + i * s->height * s->n + j * s->width, &batch);
      }
  }
}

void sampled_free(void* self) { delete static_cast<Sampled*>(self); }
}
