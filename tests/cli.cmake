# Tests of the command. Scripts get the path of the command in HEDDLE, the folder of the helper
# programs (cli/helpers/*.cpp, compiled plainly) in HEDDLE_HELPERS, and run in a folder of their own
# that is emptied first. A line "# timeout: SECONDS" in the script replaces the 120 seconds a script
# may take, and "# processors: N" the one processor that it keeps busy: 0 for one that mostly waits,
# which runs beside tests that keep all of them busy. Scripts begin first.

file(GLOB cli_helpers CONFIGURE_DEPENDS cli/helpers/*.cpp)
foreach(source IN LISTS cli_helpers)
  cmake_path(GET source STEM name)
  add_executable(cli_helper_${name} ${source})
  set_target_properties(cli_helper_${name} PROPERTIES
    OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/cli/helpers)
  target_compile_features(cli_helper_${name} PRIVATE cxx_std_20)
  target_link_libraries(cli_helper_${name} PRIVATE Threads::Threads)
  heddle_warnings(cli_helper_${name})
endforeach()

function(cli_script_setting out script name default)
  file(STRINGS ${script} lines LIMIT_COUNT 20 REGEX "^# ${name}: [0-9]+$")
  if(lines MATCHES "^# ${name}: ([0-9]+)")
    set(${out} ${CMAKE_MATCH_1} PARENT_SCOPE)
  else()
    set(${out} ${default} PARENT_SCOPE)
  endif()
endfunction()

function(add_cli_test name script)
  cmake_path(ABSOLUTE_PATH script)
  cli_script_setting(timeout ${script} timeout 120)
  cli_script_setting(processors ${script} processors 1)
  if(processors EQUAL 0)
    set(slots 1)
  else()
    math(EXPR slots "2 * ${processors}")
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${script})
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/cli/${name})
  add_test(NAME cli.${name}
    COMMAND bash -c "rm -rf \"$1\" && mkdir -p \"$1\" && cd \"$1\" && exec bash \"$2\""
            cli ${folder} ${script})
  set_tests_properties(cli.${name} PROPERTIES
    LABELS cli TIMEOUT ${timeout} PROCESSORS ${slots} SKIP_RETURN_CODE 77 COST 1
    ENVIRONMENT "HEDDLE=$<TARGET_FILE:heddle_command>;HEDDLE_HELPERS=${CMAKE_CURRENT_BINARY_DIR}/cli/helpers")
endfunction()

file(GLOB cli_scripts CONFIGURE_DEPENDS cli/*_test.sh)
foreach(script IN LISTS cli_scripts)
  cmake_path(GET script STEM name)
  string(REGEX REPLACE "_test$" "" name ${name})
  add_cli_test(${name} ${script})
endforeach()

file(GLOB cli_sources CONFIGURE_DEPENDS cli/*_test.cpp)
if(cli_sources)
  add_gtest_program(NAME unit_command LABEL cli SOURCES ${cli_sources} LIBRARIES heddle_command_parts)
  target_compile_definitions(unit_command PRIVATE HEDDLE_COMMAND="$<TARGET_FILE:heddle_command>")
endif()
