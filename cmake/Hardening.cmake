# SPDX-License-Identifier: Apache-2.0
# Hardening flags, each chosen for the compiler and processor at hand.
add_library(portcullis_hardening INTERFACE)
target_compile_options(portcullis_hardening INTERFACE
  -fPIE -fstack-protector-strong -fno-strict-overflow -fno-delete-null-pointer-checks -fno-common
  -fvisibility=hidden)
target_link_options(portcullis_hardening INTERFACE
  -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,separate-code -Wl,--as-needed)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(portcullis_hardening INTERFACE -fcf-protection=full -fstack-clash-protection)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64")
  target_compile_options(portcullis_hardening INTERFACE -mbranch-protection=standard -fstack-clash-protection)
endif()
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(portcullis_hardening INTERFACE
    -ftrivial-auto-var-init=zero -fzero-call-used-regs=used-gpr)
endif()
if(PORTCULLIS_SANITIZE)
  # The sanitizers check more than fortify does, and do not mix with it.
  target_compile_options(portcullis_hardening INTERFACE
    -fsanitize=${PORTCULLIS_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(portcullis_hardening INTERFACE -fsanitize=${PORTCULLIS_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_options(portcullis_hardening INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
if(PORTCULLIS_FUZZ)
  target_compile_options(portcullis_hardening INTERFACE -fsanitize=fuzzer-no-link)
endif()
