# SPDX-License-Identifier: Apache-2.0
# Warnings that were probed on gcc 12 and clang 14. Errors in the presets only.
add_library(portcullis_warnings INTERFACE)
target_compile_options(portcullis_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef -Wvla -Walloca
  -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wcast-qual -Wpointer-arith -Wformat=2
  -Wswitch-enum -Wimplicit-fallthrough -Wnull-dereference -Wdouble-promotion
  -Wframe-larger-than=16384)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(portcullis_warnings INTERFACE
    -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init -Wuse-after-free=3)
else()
  # GNU extensions that the style uses on purpose (statement expressions, ##__VA_ARGS__).
  target_compile_options(portcullis_warnings INTERFACE -Wno-gnu-zero-variadic-macro-arguments)
endif()
if(PORTCULLIS_WERROR)
  target_compile_options(portcullis_warnings INTERFACE -Werror)
endif()
