# libpit.so (target pit, alias pit::pit): the folders of src/ in one shared library that exports the public API only.
#
# It is made of the folders' objects, not of their archives: --exclude-libs,ALL hides whatever comes out of an archive
# (LLVM, generated protobuf classes), which would include our own API.
get_property(_pit_libraries GLOBAL PROPERTY PIT_LIBRARIES)
set(_pit_objects)
foreach(lib IN LISTS _pit_libraries)
  list(APPEND _pit_objects $<TARGET_OBJECTS:${lib}>)
endforeach()

add_library(pit SHARED ${_pit_objects})
add_library(pit::pit ALIAS pit)
target_link_libraries(pit PRIVATE ${_pit_libraries})
target_include_directories(pit INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>
                                         $<BUILD_INTERFACE:${CMAKE_BINARY_DIR}/include>
                                         $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(pit INTERFACE cxx_std_20)
target_link_options(pit PRIVATE -Wl,--exclude-libs,ALL "LINKER:--version-script=${CMAKE_SOURCE_DIR}/src/pit.map")
# Its threads, and what it registers for forks, live as long as the process.
target_link_options(pit PRIVATE -Wl,-z,nodelete)
if(NOT PIT_SANITIZE)
  target_link_options(pit PRIVATE -Wl,--no-undefined)
  if(NOT PIT_COVERAGE)
    target_sources(pit PRIVATE "${CMAKE_SOURCE_DIR}/src/at_exit.cpp")
  endif()
endif()
set_target_properties(pit PROPERTIES
  LINKER_LANGUAGE CXX
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib"
  LINK_DEPENDS "${CMAKE_SOURCE_DIR}/src/pit.map")

include(CMakePackageConfigHelpers)
set(_pit_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/pit")
install(TARGETS pit EXPORT pitTargets LIBRARY COMPONENT cpp)
install(DIRECTORY "${CMAKE_SOURCE_DIR}/include/pit" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT cpp
        FILES_MATCHING PATTERN "*.h")
install(FILES "${CMAKE_BINARY_DIR}/include/pit/version.h" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/pit" COMPONENT cpp)
install(EXPORT pitTargets NAMESPACE pit:: DESTINATION "${_pit_cmake_dir}" COMPONENT cpp)
configure_package_config_file("${CMAKE_SOURCE_DIR}/cmake/pitConfig.cmake.in" "${CMAKE_BINARY_DIR}/pitConfig.cmake"
                              INSTALL_DESTINATION "${_pit_cmake_dir}")
write_basic_package_version_file("${CMAKE_BINARY_DIR}/pitConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/pitConfig.cmake" "${CMAKE_BINARY_DIR}/pitConfigVersion.cmake"
        DESTINATION "${_pit_cmake_dir}" COMPONENT cpp)
