# heddle_library_sources(out): the sources of the library, found by room. The rooms listed here share
# memory only through the seam, and are all that is compiled when HEDDLE_MODEL is on.
set(heddle_modelled_rooms
  prim base kernel probe sizing lockfree sync queue future data exec algorithm coro)
set(heddle_native_rooms process pattern watch)

function(heddle_library_sources out)
  set(rooms ${heddle_modelled_rooms})
  if(NOT HEDDLE_MODEL)
    list(APPEND rooms ${heddle_native_rooms})
  endif()
  set(patterns "")
  foreach(room IN LISTS rooms)
    list(APPEND patterns ${PROJECT_SOURCE_DIR}/src/${room}/*.cpp)
  endforeach()
  if(NOT HEDDLE_MODEL)
    list(APPEND patterns ${PROJECT_SOURCE_DIR}/src/*.cpp)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  set(${out} ${sources} PARENT_SCOPE)
endfunction()
