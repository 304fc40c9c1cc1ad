// What tests have to know about the sanitizers that they are built with.
#pragma once

namespace pit::test {

#if defined(__SANITIZE_THREAD__)  // GCC
#define PIT_TEST_TSAN true
#elif defined(__has_feature)  // clang
#define PIT_TEST_TSAN __has_feature(thread_sanitizer)
#else
#define PIT_TEST_TSAN false
#endif

/// ThreadSanitizer takes over every access to memory, lets no child of a fork make threads, and is some ten times as
/// slow.
inline constexpr bool kThreadSanitizer = PIT_TEST_TSAN;

#undef PIT_TEST_TSAN

}  // namespace pit::test
