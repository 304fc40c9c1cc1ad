// MKL's sparse BLAS: A converted to CSR or BSR inside the call. Its dense routines are called from Python directly.
#include <cstdint>
#include <mkl.h>
#include <vector>

#include "convert.h"

namespace {
matrix_descr general() {
  matrix_descr d;
  d.type = SPARSE_MATRIX_TYPE_GENERAL;
  d.mode = SPARSE_FILL_MODE_LOWER;
  d.diag = SPARSE_DIAG_NON_UNIT;
  return d;
}
bench::Csr<MKL_INT> csr;
}  // namespace

extern "C" {

int mkl_csr(const float* a, const float* b, float* c, std::int64_t m, std::int64_t n, std::int64_t k) {
  bench::to_csr(a, m, k, csr);
  sparse_matrix_t s;
  if (mkl_sparse_s_create_csr(&s, SPARSE_INDEX_BASE_ZERO, MKL_INT(m), MKL_INT(k), csr.offsets.data(),
                              csr.offsets.data() + 1, csr.columns.data(), csr.values.data()) != SPARSE_STATUS_SUCCESS)
    return 1;
  const int status = mkl_sparse_s_mm(SPARSE_OPERATION_NON_TRANSPOSE, 1.0f, s, general(), SPARSE_LAYOUT_ROW_MAJOR, b,
                                     MKL_INT(n), MKL_INT(n), 0.0f, c, MKL_INT(n));
  mkl_sparse_destroy(s);
  return status;
}

int mkl_bsr(const float* a, const float* b, float* c, std::int64_t m, std::int64_t n, std::int64_t k,
            std::int64_t block) {
  static std::vector<std::uint8_t> live;
  static std::vector<MKL_INT> offsets, columns;
  static std::vector<float> values;
  bench::live_blocks(a, m, k, block, block, live);
  const std::int64_t down = m / block, across = k / block;
  offsets.assign(std::size_t(down) + 1, 0);
  columns.clear();
  for (std::int64_t i = 0; i < down; ++i) {
    for (std::int64_t j = 0; j < across; ++j)
      if (live[std::size_t(i * across + j)]) columns.push_back(MKL_INT(j));
    offsets[std::size_t(i) + 1] = MKL_INT(columns.size());
  }
  if (values.size() < columns.size() * std::size_t(block * block))
    values.resize(columns.size() * std::size_t(block * block));
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < down; ++i)
    for (std::int64_t r = 0; r < block; ++r)
      for (MKL_INT p = offsets[std::size_t(i)]; p < offsets[std::size_t(i) + 1]; ++p)
        for (std::int64_t x = 0; x < block; ++x)
          values[std::size_t((p * block + r) * block + x)] =
              a[(i * block + r) * k + columns[std::size_t(p)] * block + x];
  if (columns.empty()) {
    for (std::int64_t i = 0; i < m * n; ++i) c[i] = 0;
    return 0;
  }
  sparse_matrix_t s;
  if (mkl_sparse_s_create_bsr(&s, SPARSE_INDEX_BASE_ZERO, SPARSE_LAYOUT_ROW_MAJOR, MKL_INT(down), MKL_INT(across),
                              MKL_INT(block), offsets.data(), offsets.data() + 1, columns.data(),
                              values.data()) != SPARSE_STATUS_SUCCESS)
    return 1;
  const int status = mkl_sparse_s_mm(SPARSE_OPERATION_NON_TRANSPOSE, 1.0f, s, general(), SPARSE_LAYOUT_ROW_MAJOR, b,
                                     MKL_INT(n), MKL_INT(n), 0.0f, c, MKL_INT(n));
  mkl_sparse_destroy(s);
  return status;
}

/// A static sparse B as (B^T in CSR, inspected and optimised once): C^T = B^T A^T, where A^T and C^T are our row-major
/// A and C read by columns.
struct Weights {
  std::vector<float> transposed;
  bench::Csr<MKL_INT> csr;
  sparse_matrix_t handle;
};

void* mkl_weights(const float* b, std::int64_t k, std::int64_t n, std::int64_t m) {
  auto* w = new Weights;
  w->transposed.resize(std::size_t(k * n));
  for (std::int64_t i = 0; i < k; ++i)
    for (std::int64_t j = 0; j < n; ++j) w->transposed[std::size_t(j * k + i)] = b[i * n + j];
  bench::to_csr(w->transposed.data(), n, k, w->csr);
  if (mkl_sparse_s_create_csr(&w->handle, SPARSE_INDEX_BASE_ZERO, MKL_INT(n), MKL_INT(k), w->csr.offsets.data(),
                              w->csr.offsets.data() + 1, w->csr.columns.data(),
                              w->csr.values.data()) != SPARSE_STATUS_SUCCESS) {
    delete w;
    return nullptr;
  }
  mkl_sparse_set_mm_hint(w->handle, SPARSE_OPERATION_NON_TRANSPOSE, general(), SPARSE_LAYOUT_COLUMN_MAJOR, MKL_INT(m),
                         1000);
  mkl_sparse_optimize(w->handle);
  return w;
}

int mkl_dense_sparse(const void* weights, const float* a, float* c, std::int64_t m, std::int64_t n, std::int64_t k) {
  const auto* w = static_cast<const Weights*>(weights);
  return mkl_sparse_s_mm(SPARSE_OPERATION_NON_TRANSPOSE, 1.0f, w->handle, general(), SPARSE_LAYOUT_COLUMN_MAJOR, a,
                         MKL_INT(m), MKL_INT(k), 0.0f, c, MKL_INT(n));
}

void mkl_weights_free(void* weights) {
  auto* w = static_cast<Weights*>(weights);
  mkl_sparse_destroy(w->handle);
  delete w;
}

/// Both sparse: A converted here, B (k x n) converted by mkl_rows, a dense result.
void* mkl_rows(const float* b, std::int64_t k, std::int64_t n) {
  auto* w = new Weights;
  bench::to_csr(b, k, n, w->csr);
  if (mkl_sparse_s_create_csr(&w->handle, SPARSE_INDEX_BASE_ZERO, MKL_INT(k), MKL_INT(n), w->csr.offsets.data(),
                              w->csr.offsets.data() + 1, w->csr.columns.data(),
                              w->csr.values.data()) != SPARSE_STATUS_SUCCESS) {
    delete w;
    return nullptr;
  }
  return w;
}

int mkl_sparse_sparse(const void* weights, const float* a, float* c, std::int64_t m, std::int64_t n, std::int64_t k) {
  const auto* w = static_cast<const Weights*>(weights);
  bench::to_csr(a, m, k, csr);
  sparse_matrix_t s;
  if (mkl_sparse_s_create_csr(&s, SPARSE_INDEX_BASE_ZERO, MKL_INT(m), MKL_INT(k), csr.offsets.data(),
                              csr.offsets.data() + 1, csr.columns.data(), csr.values.data()) != SPARSE_STATUS_SUCCESS)
    return 1;
  const int status =
      mkl_sparse_s_spmmd(SPARSE_OPERATION_NON_TRANSPOSE, s, w->handle, SPARSE_LAYOUT_ROW_MAJOR, c, MKL_INT(n));
  mkl_sparse_destroy(s);
  return status;
}

/// MKL's own conversion of a dense matrix: it wants the size first, so it runs twice, as its manual says.
std::int64_t mkl_convert(const float* a, std::int64_t m, std::int64_t k) {
  static bench::Csr<MKL_INT> own;
  MKL_INT rows = MKL_INT(m), columns = MKL_INT(k), lda = MKL_INT(k), info = 0;
  MKL_INT job[6] = {0, 0, 0, 2, 0, 0};
  own.offsets.resize(std::size_t(m) + 1);
  mkl_sdnscsr(job, &rows, &columns, const_cast<float*>(a), &lda, own.values.data(), own.columns.data(),
              own.offsets.data(), &info);
  const std::size_t live = std::size_t(own.offsets[std::size_t(m)]);
  if (own.values.size() < live) {
    own.values.resize(live);
    own.columns.resize(live);
  }
  job[4] = MKL_INT(live);
  job[5] = 1;
  mkl_sdnscsr(job, &rows, &columns, const_cast<float*>(a), &lda, own.values.data(), own.columns.data(),
              own.offsets.data(), &info);
  return info == 0 ? std::int64_t(live) : -1;
}

/// The conversion that the CSR contestants of this benchmark share.
std::int64_t shared_convert(const float* a, std::int64_t m, std::int64_t k) {
  bench::to_csr(a, m, k, csr);
  return csr.offsets[std::size_t(m)];
}
}
