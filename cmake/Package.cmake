# SPDX-License-Identifier: Apache-2.0
# `cpack -G DEB` (or `./dev package`) makes portcullis_VERSION_ARCH.deb out of what Install.cmake lays
# out. packaging/debian/ has the maintainer scripts, and stage.cmake, which turns the staged tree into
# what Debian expects.
set(PORTCULLIS_MAINTAINER "Portcullis maintainers <maintainers@portcullis.example>"
  CACHE STRING "Who answers for a package: NAME <ADDRESS>")
set(packaging ${CMAKE_CURRENT_SOURCE_DIR}/packaging/debian)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME portcullis)
set(CPACK_PACKAGE_CONTACT "${PORTCULLIS_MAINTAINER}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "OAuth 2.1 gate in front of MCP servers")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Portcullis stands in front of an MCP server and lets in only the calls that an
OAuth access token allows. It tells clients where to log in (RFC 9728), checks
every token against the issuer's keys, decides per tool, prompt and resource,
and forwards MCP Streamable HTTP. One JSON policy file configures it.
.
The service is neither enabled nor started by this package: it needs a policy
in /etc/portcullis/policy.json first, for which there are examples.")
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
# A package has its own prefix, whatever the build was configured with.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# The user is made by systemd-sysusers, the certificates are those that issuers are trusted by, and the
# unit reloads with procps' kill.
set(CPACK_DEBIAN_PACKAGE_DEPENDS
  "ca-certificates, procps, systemd | systemd-standalone-sysusers | systemd-sysusers")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${packaging}/postinst ${packaging}/prerm ${packaging}/postrm)

string(TIMESTAMP PACKAGE_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file(${packaging}/changelog.in ${CMAKE_CURRENT_BINARY_DIR}/packaging/changelog @ONLY)
set(CPACK_PORTCULLIS_PACKAGING ${packaging})
set(CPACK_PORTCULLIS_CHANGELOG ${CMAKE_CURRENT_BINARY_DIR}/packaging/changelog)
set(CPACK_PRE_BUILD_SCRIPTS ${packaging}/stage.cmake)
include(CPack)
