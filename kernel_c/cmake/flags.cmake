# SPDX-License-Identifier: BSD-3-Clause
#
# One set of flags for GCC and clang. Sets LUKOS_CODE_FLAGS (C and assembly), LUKOS_C_FLAGS, LUKOS_LINK_FLAGS.

set(LUKOS_CODE_FLAGS
    -march=armv8-a
    -mgeneral-regs-only # the kernel never saves FP/SIMD registers
    -g3 -gdwarf-5 # macros too: the harness offers them by name
    -Werror -Wall -Wextra -Wundef
    # Paths as seen from the project's folder: the same bytes wherever it lies. The last map that fits wins.
    "-fmacro-prefix-map=${LUKOS_ROOT}/="
    "-fdebug-prefix-map=${LUKOS_ROOT}/="
    "-fdebug-prefix-map=${CMAKE_BINARY_DIR}=.")

set(LUKOS_C_FLAGS
    -std=c17 -O2
    -ffreestanding -fno-builtin
    -mstrict-align # with the MMU off every access is Device memory, where unaligned ones fault (Arm DDI 0487, B2.9)
    -mno-outline-atomics # would call libgcc
    -mcmodel=small -fno-pic -fno-pie
    -fno-common
    -fno-stack-protector
    -fno-omit-frame-pointer # frame records for whoever has no DWARF at hand
    -fno-unwind-tables -fno-asynchronous-unwind-tables # CFI goes to .debug_frame, not into the image
    -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla)

set(LUKOS_LINK_FLAGS
    -nostdlib -static
    -Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack -Wl,--fatal-warnings
    "-Wl,-Map=${CMAKE_CURRENT_BINARY_DIR}/kernel.map")

if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  # Else the body of our memset would become a call of memset.
  list(APPEND LUKOS_C_FLAGS -fno-tree-loop-distribute-patterns)
  # The padding before a loop is executed each time, and most loops here are left in their first pass.
  list(APPEND LUKOS_C_FLAGS -falign-loops=1)
  if(CMAKE_C_COMPILER_VERSION VERSION_LESS 10)
    message(FATAL_ERROR "${CMAKE_C_COMPILER} is GCC ${CMAKE_C_COMPILER_VERSION}; the kernel needs 10 or later.")
  endif()
else()
  list(APPEND LUKOS_C_FLAGS -fdebug-macro)
  get_filename_component(bin "${CMAKE_C_COMPILER}" DIRECTORY)
  list(APPEND LUKOS_LINK_FLAGS "--ld-path=${bin}/ld.lld")
endif()

# Headers of the compiler are named in the debug information; where they lie is nobody's business.
execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=include OUTPUT_VARIABLE builtin OUTPUT_STRIP_TRAILING_WHITESPACE)
get_filename_component(builtin "${builtin}" REALPATH)
list(APPEND LUKOS_CODE_FLAGS "-fdebug-prefix-map=${builtin}=compiler")

if(LUKOS_UBSAN)
  list(APPEND LUKOS_C_FLAGS -fsanitize=undefined)
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_C_COMPILER_VERSION VERSION_LESS 13)
    list(APPEND LUKOS_C_FLAGS -fsanitize-undefined-trap-on-error)
  else()
    list(APPEND LUKOS_C_FLAGS -fsanitize-trap=undefined)
  endif()
endif()
