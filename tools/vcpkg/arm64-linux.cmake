# Takes the place of vcpkg's own triplet of this name, for the wheels.
set(VCPKG_TARGET_ARCHITECTURE arm64)
set(VCPKG_CMAKE_SYSTEM_NAME Linux)
set(RATCHET_POLLER epoll)
include("${CMAKE_CURRENT_LIST_DIR}/unix.cmake")
