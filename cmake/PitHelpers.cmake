# The functions that the folders' CMakeLists.txt use.
#
#   pit_add_library(pit_expr SOURCES a.cpp b.cpp LINK pit_tensor pit_support PRIVATE_LINK fmt::fmt)
#     One folder of src/ as a static library. Without SOURCES: headers only. LINK is public, PRIVATE_LINK hides the
#     include folders from users (LLVM). The include roots are src/, include/ and the generated include/ in the build tree.
#     It may link only libraries of folders that stand before its own in PIT_FOLDERS (tests/python/test_architecture.py
#     checks that it includes nothing else either).
#
#   pit_add_executable(pit_cli OUTPUT_NAME pit INSTALL SOURCES main.cpp LINK pit::pit CLI11::CLI11)
#     A program. With INSTALL it goes to bin/, and in the build tree to the top of it (build/release/pit).
#
#   pit_add_test(expr_test SOURCES expr_test.cpp LINK pit_expr [ARGS ...] [TIMEOUT seconds] [ENVIRONMENT A=b ...])
#     A GoogleTest program (main() comes with it; RapidCheck is there too) and a ctest of that name, labelled with the
#     folder below tests/. It runs in the source tree's root; PIT_SOURCE_DIR and PIT_BINARY_DIR are defined as strings.
#
#   pit_add_python_module(_pit SOURCES module.cpp LINK pit::pit)
#     The nanobind extension module. It lands in python/pit/ of the build tree, beside links to the sources' *.py and *.pyi,
#     so that <build>/python on sys.path is the whole package. In a wheel it is installed into pit/, with libpit.so.

set(PIT_INCLUDE_DIRS "${CMAKE_SOURCE_DIR}/include" "${CMAKE_BINARY_DIR}/include" "${CMAKE_SOURCE_DIR}/src")

# Names the pit_* libraries that were asked for and do not exist; CMake would only say so when linking.
function(_pit_missing_targets out)
  set(missing)
  foreach(lib IN LISTS ARGN)
    if(lib MATCHES "^pit_|::" AND NOT TARGET ${lib})
      list(APPEND missing ${lib})
    endif()
  endforeach()
  set(${out} "${missing}" PARENT_SCOPE)
endfunction()

# Returns whether `name` can be built; a target that needs a folder left out by PIT_ONLY is left out too, loudly.
function(_pit_check_links out name)
  _pit_missing_targets(missing ${ARGN})
  set(${out} TRUE PARENT_SCOPE)
  if(missing)
    list(JOIN missing ", " missing)
    if(NOT PIT_ONLY)
      message(FATAL_ERROR "${name} links ${missing}, which does not exist (a folder without CMakeLists.txt?)")
    endif()
    message(STATUS "left out: ${name} needs ${missing}, not part of PIT_ONLY=${PIT_ONLY}")
    set(${out} FALSE PARENT_SCOPE)
  endif()
endfunction()

# An error where a folder's library links one that does not stand before it in PIT_FOLDERS.
function(_pit_check_direction name)
  list(TRANSFORM PIT_FOLDERS REPLACE "/" "_" OUTPUT_VARIABLE order)
  list(TRANSFORM order PREPEND "pit_")
  list(FIND order ${name} own)
  foreach(lib IN LISTS ARGN)
    list(FIND order ${lib} other)
    if(own GREATER -1 AND other GREATER -1 AND NOT other LESS own)
      message(FATAL_ERROR "${name} links ${lib}, which stands behind it: links go one way, see PIT_FOLDERS in CMakeLists.txt")
    endif()
  endforeach()
endfunction()

function(pit_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK;PRIVATE_LINK")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "pit_add_library(${name}): unknown arguments ${arg_UNPARSED_ARGUMENTS}")
  endif()
  _pit_check_direction(${name} ${arg_LINK} ${arg_PRIVATE_LINK})
  if(arg_SOURCES)
    add_library(${name} STATIC ${arg_SOURCES})
    target_include_directories(${name} PUBLIC ${PIT_INCLUDE_DIRS})
    target_link_libraries(${name} PUBLIC ${arg_LINK} PRIVATE ${arg_PRIVATE_LINK})
    set_property(GLOBAL APPEND PROPERTY PIT_LIBRARIES ${name})
  else()
    add_library(${name} INTERFACE)
    target_include_directories(${name} INTERFACE ${PIT_INCLUDE_DIRS})
    target_link_libraries(${name} INTERFACE ${arg_LINK})
  endif()
  set_property(GLOBAL APPEND PROPERTY PIT_LINKS ${arg_LINK} ${arg_PRIVATE_LINK})
endfunction()

function(pit_add_executable name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "INSTALL" "OUTPUT_NAME" "SOURCES;LINK")
  _pit_check_links(ok ${name} ${arg_LINK})
  if(NOT ok)
    return()
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PIT_INCLUDE_DIRS})
  target_link_libraries(${name} PRIVATE ${arg_LINK})
  if(arg_OUTPUT_NAME)
    set_target_properties(${name} PROPERTIES OUTPUT_NAME ${arg_OUTPUT_NAME})
  endif()
  if(arg_INSTALL)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}"
                                             INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
    install(TARGETS ${name} RUNTIME COMPONENT cpp)
  endif()
endfunction()

function(pit_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;LINK;ARGS;ENVIRONMENT")
  _pit_check_links(ok ${name} ${arg_LINK})
  if(NOT ok)
    return()
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PIT_INCLUDE_DIRS} "${CMAKE_SOURCE_DIR}/tests")
  target_compile_definitions(${name} PRIVATE "PIT_SOURCE_DIR=\"${CMAKE_SOURCE_DIR}\"" "PIT_BINARY_DIR=\"${CMAKE_BINARY_DIR}\"")
  target_link_libraries(${name} PRIVATE ${arg_LINK} GTest::gtest GTest::gtest_main rapidcheck_gtest)
  add_test(NAME ${name} COMMAND ${name} ${arg_ARGS} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  file(RELATIVE_PATH label "${CMAKE_SOURCE_DIR}/tests" "${CMAKE_CURRENT_SOURCE_DIR}")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${label}" TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${arg_ENVIRONMENT}")
endfunction()

function(pit_add_python_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
  set(package_dir "${CMAKE_BINARY_DIR}/python/pit")
  nanobind_add_module(${name} NB_STATIC NB_SUPPRESS_WARNINGS ${arg_SOURCES})
  target_compile_options(nanobind-static PRIVATE -w)
  target_include_directories(${name} PRIVATE ${PIT_INCLUDE_DIRS})
  target_link_libraries(${name} PRIVATE ${arg_LINK})
  target_link_options(${name} PRIVATE -Wl,--exclude-libs,ALL)
  set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${package_dir}" INSTALL_RPATH "$ORIGIN")

  file(GLOB sources CONFIGURE_DEPENDS RELATIVE "${CMAKE_SOURCE_DIR}/python/pit" "${CMAKE_SOURCE_DIR}/python/pit/*.py"
       "${CMAKE_SOURCE_DIR}/python/pit/*.pyi" "${CMAKE_SOURCE_DIR}/python/pit/py.typed")
  file(GLOB stale "${package_dir}/*.py" "${package_dir}/*.pyi")
  if(stale)
    file(REMOVE ${stale})
  endif()
  file(MAKE_DIRECTORY "${package_dir}")
  foreach(source IN LISTS sources)
    file(CREATE_LINK "${CMAKE_SOURCE_DIR}/python/pit/${source}" "${package_dir}/${source}" SYMBOLIC)
  endforeach()

  install(TARGETS ${name} LIBRARY DESTINATION pit COMPONENT python EXCLUDE_FROM_ALL)
  install(TARGETS pit LIBRARY DESTINATION pit COMPONENT python EXCLUDE_FROM_ALL NAMELINK_SKIP)
endfunction()

# Called after all folders: a library that links a pit_* target of a folder that is not there is an error here, by name,
# not an undefined symbol later.
function(pit_check_library_links)
  get_property(links GLOBAL PROPERTY PIT_LINKS)
  list(REMOVE_DUPLICATES links)
  _pit_missing_targets(missing ${links})
  if(missing AND NOT PIT_ONLY)
    message(FATAL_ERROR "These libraries are linked by folders of src/ but do not exist: ${missing}")
  elseif(missing)
    message(STATUS "linked but not part of PIT_ONLY: ${missing}")
  endif()
endfunction()
