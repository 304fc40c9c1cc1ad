# Python and nanobind, for pit_add_python_module.
find_package(Python 3.9 REQUIRED COMPONENTS Interpreter Development.Module)
execute_process(COMMAND "${Python_EXECUTABLE}" -m nanobind --cmake_dir OUTPUT_STRIP_TRAILING_WHITESPACE
                OUTPUT_VARIABLE nanobind_ROOT ERROR_QUIET)
find_package(nanobind CONFIG QUIET)
if(NOT nanobind_FOUND)
  message(FATAL_ERROR "${Python_EXECUTABLE} has no nanobind. Run scripts/setup.sh test, name another Python with "
                      "-DPython_EXECUTABLE, or build without the Python package: -DPIT_BUILD_PYTHON=OFF.")
endif()
