# cmake --install and find_package(Headscope): targets Headscope::runtime (with kernels and the plan
# reader) for inference engines, and the program where it was built.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
install(TARGETS headscope_build headscope_torch headscope_plan headscope_kernels headscope_runtime
  EXPORT HeadscopeTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET headscope)
  install(TARGETS headscope RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
foreach(_folder kernels runtime)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${_folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/headscope
    FILES_MATCHING PATTERN "*.h" PATTERN "cuda" EXCLUDE)
endforeach()
file(GLOB _plan_headers ${PROJECT_SOURCE_DIR}/outputs/*.h)
install(FILES ${_plan_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/headscope/outputs)
install(EXPORT HeadscopeTargets NAMESPACE Headscope:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Headscope)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/HeadscopeConfig.cmake.in
  ${CMAKE_BINARY_DIR}/HeadscopeConfig.cmake INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Headscope)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/HeadscopeConfigVersion.cmake
  COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_BINARY_DIR}/HeadscopeConfig.cmake ${CMAKE_BINARY_DIR}/HeadscopeConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Headscope)
