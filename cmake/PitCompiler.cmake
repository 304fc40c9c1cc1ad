# Compiler and linker settings for everything in this tree.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Dev or Debug" FORCE)
endif()
# -O2: the host code does control flow; what is hot is generated at run time.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
# Dev keeps assertions and stays fast enough for brute-force tests; -g1 gives lines in stack traces at little cost.
set(CMAKE_CXX_FLAGS_DEV "-O1 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")

# The baseline of compiled C++: any x86-64 of the last fifteen years. Generated kernels use the host's own instruction set.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_compile_options(-march=x86-64-v2)
endif()
# The order and rounding of every operation is a promise, so the compiler may not fuse multiplications with additions.
add_compile_options(-ffp-contract=off)
add_compile_options(-ffunction-sections -fdata-sections)
add_compile_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarms of GCC 12 inside libstdc++ (PR 105329, 105651, 107852 and relatives).
  add_compile_options(-Wno-restrict -Wno-stringop-overflow -Wno-array-bounds -Wno-maybe-uninitialized)
endif()
add_link_options(-Wl,--as-needed -Wl,--gc-sections)


find_program(PIT_CCACHE ccache)
if(PIT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${PIT_CCACHE})
endif()

find_program(PIT_MOLD mold)
if(PIT_MOLD)
  include(CheckCXXSourceCompiles)
  set(CMAKE_REQUIRED_LINK_OPTIONS -fuse-ld=mold)
  check_cxx_source_compiles("int main() { return 0; }" PIT_LINKS_WITH_MOLD)
  unset(CMAKE_REQUIRED_LINK_OPTIONS)
  if(PIT_LINKS_WITH_MOLD)
    add_link_options(-fuse-ld=mold)
  endif()
endif()

set(PIT_SANITIZE "" CACHE STRING "Sanitizers, with commas: address, undefined, thread, fuzzer-no-link, or empty")
if(PIT_SANITIZE)
  add_compile_options(-fsanitize=${PIT_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${PIT_SANITIZE})
  if(PIT_SANITIZE MATCHES "undefined")
    # vptr needs type information of classes that LLVM's archives keep to themselves.
    add_compile_options(-fno-sanitize=vptr -fno-sanitize-recover=all)
    add_link_options(-fno-sanitize=vptr)
    if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
      # Calls of generated code: Clang looks for the type of a function in front of it, where the page may begin.
      add_compile_options(-fno-sanitize=function)
    endif()
  endif()
endif()

option(PIT_COVERAGE "Instrument for gcov" OFF)
if(PIT_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()
