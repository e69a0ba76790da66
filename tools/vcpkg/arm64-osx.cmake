# Takes the place of vcpkg's own triplet of this name, for the wheels.
set(VCPKG_TARGET_ARCHITECTURE arm64)
set(VCPKG_CMAKE_SYSTEM_NAME Darwin)
set(VCPKG_OSX_ARCHITECTURES arm64)
set(VCPKG_OSX_DEPLOYMENT_TARGET 11.0) # as MACOSX_DEPLOYMENT_TARGET in pyproject.toml
set(RATCHET_POLLER kqueue)
include("${CMAKE_CURRENT_LIST_DIR}/unix.cmake")
