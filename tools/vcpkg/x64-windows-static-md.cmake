# Takes the place of vcpkg's own triplet of this name, for the Windows wheels.
set(VCPKG_TARGET_ARCHITECTURE x64)
set(VCPKG_CRT_LINKAGE dynamic)
set(VCPKG_LIBRARY_LINKAGE static)
set(VCPKG_BUILD_TYPE release)
if(PORT STREQUAL "zeromq")
    # The default there, epoll over wepoll, aborts on some machines. The rest as in unix.cmake.
    set(VCPKG_CMAKE_CONFIGURE_OPTIONS "-DPOLLER=select" "-DENABLE_WS=OFF" "-DENABLE_RADIX_TREE=OFF")
endif()
