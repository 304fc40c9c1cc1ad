# pit_llvm: LLVM 19, static, reduced to what a just-in-time compiler for this machine needs.
#
# Static and hidden on purpose: a shared libLLVM in a process's global symbol scope has crashed beside other libraries that
# carry an LLVM of their own. Only src/codegen links this target, privately, so no other folder sees LLVM's headers.
include_guard(GLOBAL)

find_package(LLVM 19.1 CONFIG QUIET HINTS /usr/lib/llvm-19/lib/cmake/llvm)
if(NOT LLVM_FOUND)
  message(FATAL_ERROR "LLVM 19.1 not found. On Debian: scripts/setup.sh test (package llvm-19-dev), or set LLVM_DIR.")
endif()
message(STATUS "LLVM ${LLVM_PACKAGE_VERSION}: ${LLVM_DIR}")

llvm_map_components_to_libnames(PIT_LLVM_LIBS orcjit passes native)

add_library(pit_llvm INTERFACE)
target_include_directories(pit_llvm SYSTEM INTERFACE ${LLVM_INCLUDE_DIRS})
separate_arguments(PIT_LLVM_DEFINITIONS UNIX_COMMAND "${LLVM_DEFINITIONS}")
target_compile_definitions(pit_llvm INTERFACE ${PIT_LLVM_DEFINITIONS})
target_link_libraries(pit_llvm INTERFACE ${PIT_LLVM_LIBS})
