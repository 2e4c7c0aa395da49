# SPDX-License-Identifier: Apache-2.0
# Runs between installing into the staging folder and packing it: what Debian's policy wants beyond a
# plain installation.
set(root ${CPACK_TEMPORARY_INSTALL_DIRECTORY})
set(doc ${root}/usr/share/doc/portcullis)

function(compress file)
  execute_process(COMMAND gzip -9nf ${file} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# Policy 12.5: the licence text is in /usr/share/common-licenses, copyright says so.
file(REMOVE ${doc}/LICENSE)
file(COPY ${CPACK_PORTCULLIS_PACKAGING}/copyright DESTINATION ${doc})
file(COPY_FILE ${CPACK_PORTCULLIS_CHANGELOG} ${doc}/changelog)
file(CHMOD ${doc}/copyright ${doc}/changelog PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
compress(${doc}/changelog)
compress(${doc}/NEWS.md)
file(GLOB pages ${root}/usr/share/man/man*/*)
foreach(page IN LISTS pages)
  compress(${page})
endforeach()

# Where the policy goes; empty, since no policy works without a tenant and a server.
file(MAKE_DIRECTORY ${root}/etc/portcullis)
file(CHMOD ${root}/etc ${root}/etc/portcullis PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
  GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
