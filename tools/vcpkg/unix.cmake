# What the triplets of Linux and macOS have in common: static archives to be optimised with the extension.
set(VCPKG_CRT_LINKAGE dynamic)
set(VCPKG_LIBRARY_LINKAGE static)
set(VCPKG_BUILD_TYPE release)
set(VCPKG_C_FLAGS "-O3 -fPIC -fvisibility=hidden -flto")
if(NOT VCPKG_CMAKE_SYSTEM_NAME STREQUAL "Darwin")
    # With machine code beside it, for who links without LTO.
    string(APPEND VCPKG_C_FLAGS " -ffat-lto-objects")
endif()
set(VCPKG_CXX_FLAGS "${VCPKG_C_FLAGS}")
if(PORT STREQUAL "zeromq")
    # As distributions have it, but for drafts: WebSockets and another tree of subscriptions come with
    # those in cmake. The poller is named, since ports have chosen select for every system.
    set(VCPKG_CMAKE_CONFIGURE_OPTIONS "-DENABLE_WS=OFF" "-DENABLE_RADIX_TREE=OFF" "-DWITH_LIBBSD=OFF" "-DPOLLER=${RATCHET_POLLER}")
endif()
