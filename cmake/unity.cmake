# heddle_join_sources(target): with HEDDLE_UNITY, compiles the sources of a room as one. What costs most
# in compiling them, and in having clang-tidy read them, is the headers that they share. Users' builds,
# the release's among them, compile each source of the library alone, which shows that it includes
# what it uses.
#
# Apart are sources that give things of their own a short name that another of the room has. Without
# -Wshadow: one source's name is in the other's scope here; the release build, in which the library's are
# compiled alone, warns of what is shadowed.
# And g++ takes an included source for a header, which should not name what is local to it.
set(HEDDLE_UNITY OFF CACHE STRING "Compile sources together: ON, programs (not the library's), OFF")
set(heddle_joined_rooms
  heddle base prim kernel probe sizing sync queue future data exec algorithm coro process pattern watch)
# What does not go with its own room goes with that of others.
set(heddle_joined_apart_1 exec/profile.cpp kernel/cgroup.cpp data/flight.cpp sizing/measurement.cpp
  watch/wait_graph.cpp)
set(heddle_joined_apart_2 exec/pool_sizing.cpp kernel/schedstat.cpp kernel/topology.cpp
  probe/wait_board.cpp sizing/formulas.cpp)
set(heddle_joined_apart_3 kernel/usage.cpp probe/lock_probe.cpp)
set(heddle_joined_apart_4 probe/per_thread.cpp sizing/headroom.cpp)
set(heddle_joined_apart_5 heddle/profile.cpp heddle/profile_options.cpp heddle/profile_run.cpp
  heddle/surroundings.cpp)
set(heddle_joined_apart_6 heddle/profile_commands.cpp)
set(heddle_joined_apart_7 heddle/report.cpp)

function(heddle_join_sources target)
  if(NOT HEDDLE_UNITY OR (HEDDLE_UNITY STREQUAL "programs" AND target STREQUAL "heddle"))
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    cmake_path(GET source FILENAME file)
    cmake_path(GET source PARENT_PATH folder)
    cmake_path(GET folder FILENAME room)
    set(group ${room})
    if(file MATCHES "^(pool|map)_")
      string(APPEND group _${CMAKE_MATCH_1})
    endif()
    foreach(apart RANGE 1 7)
      if("${room}/${file}" IN_LIST heddle_joined_apart_${apart})
        set(group apart_${apart})
      endif()
    endforeach()
    if(room IN_LIST heddle_joined_rooms)
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group})
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  if(NOT target STREQUAL "heddle_command_parts")
    target_compile_options(${target} PRIVATE -Wno-shadow)
  endif()
endfunction()

# heddle_join_tests(target): likewise the sources of a test program, some at a time. What costs most
# here is to compile, again and again, what they instantiate.
#
# Which group a source is in depends on its name, so that a new one meets those of one group and moves
# none. There are 1, 2, 4 or 8 groups, a dozen sources in each at most on average: with more sources the
# groups are halved, and none meets another that it has not met before.
set(heddle_tests_not_joined context_test.cpp context_travels_test.cpp per_thread_test.cpp
  queues_test.cpp size_search_test.cpp)

function(heddle_join_tests target)
  if(NOT HEDDLE_UNITY)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources INCLUDE REGEX "\\.cpp$")
  list(LENGTH sources count)
  set(last_group 0)
  foreach(groups IN ITEMS 2 4 8)
    math(EXPR held "${groups} / 2 * 12")
    if(count GREATER held)
      math(EXPR last_group "${groups} - 1")
    endif()
  endforeach()
  foreach(source IN LISTS sources)
    cmake_path(GET source FILENAME file)
    if(NOT file IN_LIST heddle_tests_not_joined)
      string(MD5 hash ${file})
      string(SUBSTRING ${hash} 1 1 digit)
      math(EXPR group "0x${digit} & ${last_group}")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group})
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endfunction()
