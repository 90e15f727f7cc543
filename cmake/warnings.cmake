# heddle_warnings(target): the warnings our own code must be free of. The presets for developers
# turn them into errors through CMAKE_COMPILE_WARNING_AS_ERROR; a consumer's build never does.
function(heddle_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow
    $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)
endfunction()
