// Linked into libpit.so alone: what is in it (LLVM above all) destroys no static object when the process exits. Other
// threads may be compiling or running just then; nothing waits for them, and they end with the process. The memory is
// the kernel's to take back.
// NOLINTBEGIN(bugprone-reserved-identifier): the C++ ABI's name
extern "C" __attribute__((visibility("hidden"))) int __cxa_atexit(void (*)(void*), void*, void*) noexcept;

int __cxa_atexit(void (*)(void*), void*, void*) noexcept { return 0; }
// NOLINTEND(bugprone-reserved-identifier)
