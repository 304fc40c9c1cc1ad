// Memory that ends where an unreadable page begins: a kernel that reads or writes one byte too far crashes the test.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

namespace pit::lower::test {

class Guarded {
 public:
  Guarded() = default;
  explicit Guarded(std::size_t size) : size_(size) {
    std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), room = (size + page - 1) / page * page;
    void* p = mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    mprotect(static_cast<char*>(p) + room, page, PROT_NONE);
    memory_ = std::shared_ptr<void>(p, [total = room + page](void* q) { munmap(q, total); });
    data_ = static_cast<unsigned char*>(p) + (room - size);
  }
  unsigned char* data() { return data_; }
  const unsigned char* data() const { return data_; }
  std::size_t size() const { return size_; }
  unsigned char* begin() { return data_; }
  unsigned char* end() { return data_ + size_; }
  unsigned char operator[](std::size_t i) const { return data_[i]; }

 private:
  std::shared_ptr<void> memory_;
  unsigned char* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace pit::lower::test
