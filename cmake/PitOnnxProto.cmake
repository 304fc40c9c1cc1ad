# pit_onnx_proto: C++ classes for ONNX files, generated from the onnx-ml.proto that the `onnx` Python package carries.
#
#   #include "onnx-ml.pb.h"      // pit_onnx::ModelProto, ...
#
# The package is renamed from `onnx` to `pit_onnx`: two sets of classes onnx::ModelProto in one process (ours and the
# `onnx` package's own) would be one set to the dynamic linker. The file asks for protobuf's lite runtime, so nothing is
# registered in protobuf's global descriptor pool either.
include_guard(GLOBAL)

find_package(Protobuf REQUIRED)

set(ONNX_PROTO_DIR "" CACHE PATH "Folder that holds onnx-ml.proto; empty: where the Python package onnx is")
set(_pit_proto_dir "${ONNX_PROTO_DIR}")
if(NOT _pit_proto_dir AND Python_EXECUTABLE)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
            "import importlib.util as u; s = u.find_spec('onnx'); print(s.submodule_search_locations[0] if s else '', end='')"
    OUTPUT_VARIABLE _pit_proto_dir ERROR_QUIET)
endif()
if(NOT EXISTS "${_pit_proto_dir}/onnx-ml.proto")
  message(FATAL_ERROR "onnx-ml.proto not found. It comes with the Python package onnx: run scripts/setup.sh test (which "
                      "installs it into .venv), or set ONNX_PROTO_DIR to the folder that holds the file.")
endif()
message(STATUS "onnx-ml.proto: ${_pit_proto_dir}")

set(_pit_proto_out "${CMAKE_BINARY_DIR}/generated/onnx_proto")
file(MAKE_DIRECTORY "${_pit_proto_out}")
set_property(DIRECTORY "${CMAKE_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${_pit_proto_dir}/onnx-ml.proto")
file(READ "${_pit_proto_dir}/onnx-ml.proto" _pit_proto_text)
string(REGEX REPLACE "\npackage onnx;" "\npackage pit_onnx;" _pit_proto_renamed "${_pit_proto_text}")
if(_pit_proto_renamed STREQUAL _pit_proto_text)
  message(FATAL_ERROR "${_pit_proto_dir}/onnx-ml.proto has no line 'package onnx;': the classes cannot be renamed.")
endif()
file(CONFIGURE OUTPUT "${_pit_proto_out}/onnx-ml.proto" CONTENT "@_pit_proto_renamed@" @ONLY)

add_custom_command(
  OUTPUT "${_pit_proto_out}/onnx-ml.pb.h" "${_pit_proto_out}/onnx-ml.pb.cc"
  COMMAND protobuf::protoc "--proto_path=${_pit_proto_out}" "--cpp_out=${_pit_proto_out}" onnx-ml.proto
  DEPENDS "${_pit_proto_out}/onnx-ml.proto" protobuf::protoc
  COMMENT "Generating ONNX classes from onnx-ml.proto"
  VERBATIM)

add_library(pit_onnx_proto STATIC "${_pit_proto_out}/onnx-ml.pb.cc" "${_pit_proto_out}/onnx-ml.pb.h")
target_include_directories(pit_onnx_proto SYSTEM PUBLIC "${_pit_proto_out}")
target_compile_options(pit_onnx_proto PRIVATE -w)
target_link_libraries(pit_onnx_proto PUBLIC protobuf::libprotobuf)
