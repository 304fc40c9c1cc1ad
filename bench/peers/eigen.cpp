// Eigen: dense products, and SparseMatrix<float, RowMajor> * dense.
#include <Eigen/Dense>
#include <Eigen/Sparse>
#include <cstdint>

#include "convert.h"

namespace {
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using In = Eigen::Map<const Matrix>;
using Out = Eigen::Map<Matrix>;
using Sparse = Eigen::SparseMatrix<float, Eigen::RowMajor>;
}  // namespace

extern "C" {

void eigen_threads(int threads) { Eigen::setNbThreads(threads); }

void eigen_dense(const float* a, const float* b, float* c, std::int64_t m, std::int64_t n, std::int64_t k) {
  Out(c, m, n).noalias() = In(a, m, k) * In(b, k, n);
}

/// Conversion by our fast routine, product by Eigen.
void eigen_csr(const float* a, const float* b, float* c, std::int64_t m, std::int64_t n, std::int64_t k) {
  static bench::Csr<int> csr;
  bench::to_csr(a, m, k, csr);
  const Eigen::Map<const Sparse> s(m, k, csr.offsets[std::size_t(m)], csr.offsets.data(), csr.columns.data(),
                                   csr.values.data());
  Out(c, m, n).noalias() = s * In(b, k, n);
}

/// Both by Eigen: its default.
void eigen_view(const float* a, const float* b, float* c, std::int64_t m, std::int64_t n, std::int64_t k) {
  const Sparse s = In(a, m, k).sparseView();
  Out(c, m, n).noalias() = s * In(b, k, n);
}

void* eigen_weights(const float* b, std::int64_t k, std::int64_t n) { return new Sparse(In(b, k, n).sparseView()); }
void eigen_dense_sparse(const float* a, const void* b, float* c, std::int64_t m, std::int64_t n, std::int64_t k) {
  Out(c, m, n).noalias() = In(a, m, k) * *static_cast<const Sparse*>(b);
}
/// Both operands sparse, the first converted here.
void eigen_sparse_sparse(const float* a, const void* b, float* c, std::int64_t m, std::int64_t n, std::int64_t k) {
  static bench::Csr<int> csr;
  bench::to_csr(a, m, k, csr);
  const Eigen::Map<const Sparse> s(m, k, csr.offsets[std::size_t(m)], csr.offsets.data(), csr.columns.data(),
                                   csr.values.data());
  Out(c, m, n) = Matrix(Sparse(s * *static_cast<const Sparse*>(b)));
}
void eigen_free(void* b) { delete static_cast<Sparse*>(b); }

void eigen_convert(const float* a, std::int64_t m, std::int64_t k) {
  const Sparse s = In(a, m, k).sparseView();
  asm volatile("" ::"r"(s.valuePtr()) : "memory");
}
}
