# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` lays out, and the man pages, which are made for it.
include(GNUInstallDirs)

set(PORTCULLIS_UNIT_DIR lib/systemd/system CACHE PATH "Where systemd units go, below the prefix")
set(PORTCULLIS_SYSUSERS_DIR lib/sysusers.d CACHE PATH "Where sysusers files go, below the prefix")

set(man_dir ${CMAKE_CURRENT_BINARY_DIR}/man)
configure_file(docs/man/portcullis.8.in ${man_dir}/portcullis.8 @ONLY)

# The keys of the policy come from the table that the program reads.
add_executable(key_table docs/man/key_table.c)
target_link_libraries(key_table PRIVATE portcullis_core)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_link_options(key_table PRIVATE -fno-lto)
endif()
add_custom_command(OUTPUT ${man_dir}/portcullis-policy.5
  COMMAND key_table ${CMAKE_CURRENT_SOURCE_DIR}/docs/man/portcullis-policy.5.in
    ${man_dir}/portcullis-policy.5
  DEPENDS key_table docs/man/portcullis-policy.5.in
  VERBATIM)
add_custom_target(man ALL DEPENDS ${man_dir}/portcullis-policy.5)

install(TARGETS portcullis RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${man_dir}/portcullis.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
install(FILES ${man_dir}/portcullis-policy.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)

install(FILES config/policy.schema.json DESTINATION ${CMAKE_INSTALL_DATADIR}/portcullis)
install(FILES LICENSE NEWS.md README.md SECURITY.md docs/POLICY.md docs/OPERATIONS.md docs/AUTH0.md
    docs/TOKENS.md docs/THREATS.md docs/CONTAINER.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR})
file(GLOB examples CONFIGURE_DEPENDS config/*.json config/examples/*.json)
list(FILTER examples EXCLUDE REGEX "/policy\\.schema\\.json$")
install(FILES ${examples} DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)

install(FILES config/completion/portcullis.bash RENAME portcullis
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES config/completion/_portcullis DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
install(FILES config/completion/portcullis.fish
  DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)

# The unit names the program by its path, which is known only when it is installed: `--prefix` may
# differ from the one that was configured, and a package has its own.
string(CONCAT install_units
  "set(units \"${CMAKE_CURRENT_SOURCE_DIR}/config/portcullis.service\"\n"
  "  \"${CMAKE_CURRENT_SOURCE_DIR}/config/portcullis.socket\")\n"
  "set(to \"${PORTCULLIS_UNIT_DIR}\")\n"
  "set(bindir \"${CMAKE_INSTALL_BINDIR}\")\n"
  "set(work \"${CMAKE_CURRENT_BINARY_DIR}/units\")\n"
  "include(\"${CMAKE_CURRENT_SOURCE_DIR}/cmake/InstallUnits.cmake\")\n")
install(CODE "${install_units}")
install(FILES config/portcullis.sysusers RENAME portcullis.conf DESTINATION ${PORTCULLIS_SYSUSERS_DIR})
