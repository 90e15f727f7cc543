# heddle_join_sources(target): with HEDDLE_UNITY, compiles the sources of a room as one. What costs most
# in compiling them, and in having clang-tidy read them, is the headers that they share. Users' builds
# and that of the release tests compile each source alone, which shows that it includes what it uses.
#
# Left alone are rooms whose sources give different things of their own the same short name. Without
# -Wshadow: one source's name is in the other's scope here; the release build warns of what is shadowed.
# And g++ takes an included source for a header, which should not name what is local to it.
option(HEDDLE_UNITY "Compile the sources of a room together" OFF)
set(heddle_joined_rooms heddle base kernel probe sync queue future data exec algorithm coro process pattern)
set(heddle_not_joined profile.cpp pool_sizing.cpp report.cpp
  cgroup.cpp flight.cpp schedstat.cpp topology.cpp usage.cpp wait_board.cpp lock_probe.cpp per_thread.cpp
  profile_commands.cpp profile_options.cpp profile_run.cpp surroundings.cpp)

function(heddle_join_sources target)
  if(NOT HEDDLE_UNITY)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    cmake_path(GET source FILENAME file)
    cmake_path(GET source PARENT_PATH folder)
    cmake_path(GET folder FILENAME room)
    if(room IN_LIST heddle_joined_rooms AND NOT file IN_LIST heddle_not_joined)
      if(file MATCHES "^(pool|map)_")
        string(APPEND room _${CMAKE_MATCH_1})
      endif()
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${room})
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  target_compile_options(${target} PRIVATE -Wno-shadow $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endfunction()
