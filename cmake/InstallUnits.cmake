# SPDX-License-Identifier: Apache-2.0
# Runs while installing: copies the systemd UNITS to the folder TO below the prefix, with the program's
# path there, where they are written with the one of a distribution's package.
foreach(unit IN LISTS units)
  get_filename_component(name "${unit}" NAME)
  file(READ "${unit}" text)
  string(REPLACE "/usr/bin/portcullis" "${CMAKE_INSTALL_PREFIX}/${bindir}/portcullis" text "${text}")
  file(WRITE "${work}/${name}" "${text}")
  if(NOT IS_ABSOLUTE "${to}")
    set(to "${CMAKE_INSTALL_PREFIX}/${to}")
  endif()
  file(INSTALL FILES "${work}/${name}" DESTINATION "${to}" TYPE FILE)
endforeach()
