# Read by ctest when it starts: registers the suites of a GoogleTest program, a test each.
#   heddle_name, heddle_program   of the tests, and its path
#   heddle_properties             what set_tests_properties is to be given
execute_process(COMMAND ${heddle_program} --gtest_list_tests
  OUTPUT_VARIABLE heddle_listed RESULT_VARIABLE heddle_status)
if(NOT heddle_status EQUAL 0)
  message(FATAL_ERROR "${heddle_program} does not list its tests: ${heddle_status}")
endif()
string(REGEX REPLACE "\n +[^\n]*" "" heddle_listed "\n${heddle_listed}")
string(REGEX REPLACE " +#[^\n]*" "" heddle_listed "${heddle_listed}")
string(REGEX MATCHALL "[^\n]+" heddle_suites "${heddle_listed}")
foreach(heddle_suite IN LISTS heddle_suites)
  string(REGEX REPLACE "\\.$" "" heddle_test "${heddle_name}.${heddle_suite}")
  add_test(${heddle_test} ${heddle_program} --gtest_brief=1 --gtest_filter=${heddle_suite}*)
  set_tests_properties(${heddle_test} PROPERTIES ${heddle_properties})
endforeach()
