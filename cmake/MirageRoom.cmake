# A room is one folder compiled to objects; its DEPS line is the layering (see tools/layers.txt).
#
#   mirage_room(kv DEPS base tensor kernels memory SOURCES page_pool.cc page_table.cc)
#   mirage_test(kv DEPS kv SOURCES page_pool_test.cc)

add_library(mirage_flags INTERFACE)
target_compile_features(mirage_flags INTERFACE cxx_std_20)
target_include_directories(mirage_flags INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
# Contraction is off and errno is not written: the arithmetic that the tests state is the one compiled.
target_compile_options(mirage_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wno-unused-parameter>"
  "$<$<COMPILE_LANGUAGE:C,CXX>:-Wno-missing-field-initializers;-fno-math-errno;-ffp-contract=off>"
  "$<$<COMPILE_LANGUAGE:C,CXX>:-ffile-prefix-map=${PROJECT_SOURCE_DIR}=.>")
if(MIRAGE_WERROR)
  target_compile_options(mirage_flags INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-Werror>)
endif()
if(MIRAGE_SANITIZE)
  target_compile_options(mirage_flags INTERFACE
    -fsanitize=${MIRAGE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(mirage_flags INTERFACE -fsanitize=${MIRAGE_SANITIZE})
endif()

function(mirage_room name)
  cmake_parse_arguments(ROOM "" "" "DEPS;SOURCES;LIBS" ${ARGN})
  add_library(mirage_${name} STATIC ${ROOM_SOURCES})
  set_target_properties(mirage_${name} PROPERTIES
    POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden C_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON LINKER_LANGUAGE CXX)
  list(TRANSFORM ROOM_DEPS PREPEND mirage_)
  target_link_libraries(mirage_${name} PUBLIC mirage_flags ${ROOM_DEPS} ${ROOM_LIBS})
endfunction()

# One GoogleTest program for a room's tests; LABELS default to unit.
function(mirage_test name)
  if(NOT MIRAGE_TESTS)
    return()
  endif()
  cmake_parse_arguments(TEST "" "" "DEPS;SOURCES;LIBS;LABELS" ${ARGN})
  if(NOT TEST_LABELS)
    set(TEST_LABELS unit)
  endif()
  list(TRANSFORM TEST_DEPS PREPEND mirage_)
  add_executable(${name}_test ${TEST_SOURCES})
  target_link_libraries(${name}_test PRIVATE mirage_flags ${TEST_DEPS} ${TEST_LIBS} GTest::gtest GTest::gtest_main)
  target_compile_definitions(${name}_test PRIVATE MIRAGE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # GoogleTest's macros take twice as long to optimize in full; kernels' tests are loops over much data.
  if(NOT name MATCHES "^kernels")
    target_compile_options(${name}_test PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1>)
  endif()
  add_test(NAME ${name} COMMAND ${name}_test)
  set_tests_properties(${name} PROPERTIES LABELS "${TEST_LABELS}")
endfunction()
