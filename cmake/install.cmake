# Install rules: library, headers, CMake package, pkg-config file, and the command when it is built.
include(CMakePackageConfigHelpers)

set(heddle_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/heddle)

install(TARGETS heddle EXPORT heddle-${heddle_kind}-targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/heddle
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
install(EXPORT heddle-${heddle_kind}-targets
  NAMESPACE heddle:: DESTINATION ${heddle_package_dir})

configure_package_config_file(cmake/heddle-config.cmake.in heddle-config.cmake
  INSTALL_DESTINATION ${heddle_package_dir})
write_basic_package_version_file(heddle-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/heddle-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/heddle-config-version.cmake
  DESTINATION ${heddle_package_dir})

# Relative to the file itself, so that an installed tree can be moved.
file(RELATIVE_PATH heddle_pc_to_prefix
  /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/heddle.pc.in heddle.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/heddle.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET heddle_command)
  install(TARGETS heddle_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
