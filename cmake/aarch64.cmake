# Cross build for aarch64 on Debian: crossbuild-essential-arm64 compiles, qemu-user-static runs the tests.
#
# The environment's QEMU_CPU picks what the tests' processor can do: max (i8mm, dotprod), cortex-a76 (dotprod),
# cortex-a57 (neither).

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_STRIP aarch64-linux-gnu-strip)

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L /usr/aarch64-linux-gnu)

set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# The header-only libraries are the same for every processor, but the rest of /usr/include is not: a folder of
# links holds these alone.
set(header_libraries ${CMAKE_BINARY_DIR}/header-libraries)
file(MAKE_DIRECTORY ${header_libraries})
foreach(library CLI flatbuffers fmt nlohmann tl xxhash.h)
  if(EXISTS /usr/include/${library} AND NOT EXISTS ${header_libraries}/${library})
    file(CREATE_LINK /usr/include/${library} ${header_libraries}/${library} SYMBOLIC)
  endif()
endforeach()
set(CMAKE_CXX_STANDARD_INCLUDE_DIRECTORIES ${header_libraries})
