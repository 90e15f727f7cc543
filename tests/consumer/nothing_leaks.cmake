# Inside another project Heddle brings its library and nothing else: no test, no command, no install
# rule, no change to the settings of the project around it.
set(watched_settings
  CMAKE_BUILD_TYPE CMAKE_CXX_FLAGS CMAKE_CXX_STANDARD CMAKE_CXX_EXTENSIONS CMAKE_CXX_COMPILER_LAUNCHER
  CMAKE_CXX_VISIBILITY_PRESET CMAKE_POSITION_INDEPENDENT_CODE CMAKE_EXPORT_COMPILE_COMMANDS
  CMAKE_RUNTIME_OUTPUT_DIRECTORY BUILD_SHARED_LIBS BUILD_TESTING)

macro(remember_settings)
  foreach(name IN LISTS watched_settings)
    set(remembered_${name} "${${name}}")
  endforeach()
endmacro()

macro(check_nothing_leaked)
  foreach(name IN LISTS watched_settings)
    if(NOT "${remembered_${name}}" STREQUAL "${${name}}")
      message(FATAL_ERROR "${name} was '${remembered_${name}}' and is '${${name}}'")
    endif()
  endforeach()
  get_directory_property(targets DIRECTORY ${HEDDLE_SOURCE_DIR} BUILDSYSTEM_TARGETS)
  if(NOT targets STREQUAL "heddle")
    message(FATAL_ERROR "targets beside the library: ${targets}")
  endif()
  get_directory_property(tests DIRECTORY ${HEDDLE_SOURCE_DIR} TESTS)
  if(tests)
    message(FATAL_ERROR "tests of Heddle's own: ${tests}")
  endif()
  if(HEDDLE_INSTALL)
    message(FATAL_ERROR "HEDDLE_INSTALL is on")
  endif()
endmacro()
