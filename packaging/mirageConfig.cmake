# find_package(mirage) gives the target mirage::mirage. The library needs nothing its users must look for.
include("${CMAKE_CURRENT_LIST_DIR}/mirageTargets.cmake")
