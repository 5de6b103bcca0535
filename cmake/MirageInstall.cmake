# What `cmake --install` puts where: component runtime (the library), tools (the command), dev (header, pkg-config
# file, CMake package). Nothing installed names the build's or the install's absolute path.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# The library's folder as seen from a folder under the prefix, so that an installed tree can be moved.
file(RELATIVE_PATH lib_from_bin /x/${CMAKE_INSTALL_BINDIR} /x/${CMAKE_INSTALL_LIBDIR})
file(RELATIVE_PATH prefix_from_pkgconfig /x/${CMAKE_INSTALL_LIBDIR}/pkgconfig /x)

install(TARGETS mirage EXPORT mirageTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT dev
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/mirage DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev
  FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(FILES LICENSE NOTICE THIRD_PARTY_NOTICES.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)

if(TARGET mirage_cli)
  set_target_properties(mirage_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${lib_from_bin}")
  install(TARGETS mirage_cli mirage_sim_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
endif()

configure_file(packaging/mirage.pc.in mirage.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mirage.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

# Before 1.0 the ABI may change with the minor number, so another minor is another library.
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mirage)
install(EXPORT mirageTargets NAMESPACE mirage:: DESTINATION ${package_dir} COMPONENT dev)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mirageConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES packaging/mirageConfig.cmake ${PROJECT_BINARY_DIR}/mirageConfigVersion.cmake
  DESTINATION ${package_dir} COMPONENT dev)
