# heddle_library_sources(out): the sources of the library, found by room. The modelled rooms share
# memory only through the seam; heddle::model has them too, compiled against the checker.
set(heddle_modelled_rooms
  prim base kernel probe sizing lockfree sync queue future data exec algorithm coro)
set(heddle_native_rooms process pattern watch)

function(heddle_library_sources out)
  set(patterns ${PROJECT_SOURCE_DIR}/src/*.cpp)
  foreach(room IN LISTS heddle_modelled_rooms heddle_native_rooms)
    list(APPEND patterns ${PROJECT_SOURCE_DIR}/src/${room}/*.cpp)
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  set(${out} ${sources} PARENT_SCOPE)
endfunction()
