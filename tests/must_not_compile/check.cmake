# Run as a test: SOURCE must not compile when MUST_NOT_COMPILE is defined, and must when it is not,
# so that it is the guarded lines that the compiler refuses. The first line of SOURCE tells what the
# compiler has to say:    // error: REGEX

file(STRINGS ${SOURCE} first_line LIMIT_COUNT 1)
if(NOT first_line MATCHES "^// error: (.+)$")
  message(FATAL_ERROR "the first line of ${SOURCE} must be: // error: REGEX")
endif()
set(expected ${CMAKE_MATCH_1})

separate_arguments(command UNIX_COMMAND "${COMPILE}")
list(APPEND command -fsyntax-only ${SOURCE})

execute_process(COMMAND ${command} RESULT_VARIABLE status ERROR_VARIABLE said)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "the control does not compile:\n${said}")
endif()
execute_process(COMMAND ${command} -DMUST_NOT_COMPILE RESULT_VARIABLE status ERROR_VARIABLE said)
if(status EQUAL 0)
  message(FATAL_ERROR "it compiles, but must not: ${SOURCE}")
endif()
if(NOT said MATCHES "${expected}")
  message(FATAL_ERROR "it does not compile, but not for the reason expected, ${expected}:\n${said}")
endif()
