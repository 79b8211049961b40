# SPDX-License-Identifier: BSD-3-Clause
#
# Picks the compiler for the kernel, in this order, and says which:
#
#   none-elf   aarch64-none-elf-gcc    the named compiler (PATH, .toolchain/, then the user's cache: `make toolchain`)
#   elf        aarch64-elf-gcc         the same under another name (Homebrew, crosstool-NG)
#   linux-gnu  aarch64-linux-gnu-gcc   a hosted cross compiler, used freestanding
#   zig        clang in the `ziglang` wheel of the project's virtual environment
#
# LUKOS_COMPILER (-D, or the environment) takes one of these names and no other.

set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY) # nothing links before kernel.ld is there
set(CMAKE_C_COMPILER_WORKS TRUE) # CMake's own trial needs an archiver, which the zig fall-back has under another name
set(CMAKE_ASM_COMPILER_WORKS TRUE)

get_filename_component(LUKOS_ROOT "${CMAKE_CURRENT_LIST_DIR}" ABSOLUTE)
if(NOT LUKOS_COMPILER)
  set(LUKOS_COMPILER "$ENV{LUKOS_COMPILER}")
endif()

# The folders where `make toolchain` and CI put the named compiler.
set(lukos_cache "$ENV{XDG_CACHE_HOME}")
if(NOT lukos_cache)
  set(lukos_cache "$ENV{HOME}/.cache")
endif()
set(lukos_places "${LUKOS_ROOT}/.toolchain/aarch64-none-elf/bin" "${lukos_cache}/lukos/aarch64-none-elf/bin")

function(lukos_find_gcc prefix result)
  find_program(found NAMES ${prefix}-gcc PATHS ENV PATH ${lukos_places} NO_DEFAULT_PATH NO_CACHE)
  set(${result} "${found}" PARENT_SCOPE)
endfunction()

# clang's driver and lld are reached as sub-commands of one binary, so both get a small script. Not `zig cc`: it puts its
# own CPU features behind ours and so overrules -mgeneral-regs-only (vector registers in memset, seen with 0.17.0).
function(lukos_find_zig result)
  file(GLOB wheels "$ENV{VIRTUAL_ENV}/lib/python3*/site-packages/ziglang" "${LUKOS_ROOT}/.venv/lib/python3*/site-packages/ziglang")
  find_program(found NAMES zig PATHS ${wheels} ENV PATH NO_DEFAULT_PATH NO_CACHE)
  set(${result} "" PARENT_SCOPE)
  if(NOT found)
    return()
  endif()
  get_filename_component(found "${found}" REALPATH)
  get_filename_component(home "${found}" DIRECTORY)
  set(bin "${CMAKE_BINARY_DIR}/zig")
  file(CONFIGURE OUTPUT "${bin}/clang" @ONLY NEWLINE_STYLE UNIX
       CONTENT "#!/bin/sh\nexec '@found@' clang --target=aarch64-none-elf -resource-dir='@home@/lib' \"$@\"\n")
  file(CONFIGURE OUTPUT "${bin}/ld.lld" @ONLY NEWLINE_STYLE UNIX CONTENT "#!/bin/sh\nexec '@found@' ld.lld \"$@\"\n")
  file(CHMOD "${bin}/clang" "${bin}/ld.lld" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
  set(${result} "${bin}/clang" PARENT_SCOPE)
  set(lukos_shown "${found} clang" PARENT_SCOPE)
endfunction()

if(NOT CMAKE_C_COMPILER)
  set(lukos_names none-elf elf linux-gnu zig)
  if(LUKOS_COMPILER AND NOT LUKOS_COMPILER IN_LIST lukos_names)
    message(FATAL_ERROR "LUKOS_COMPILER=${LUKOS_COMPILER}: not one of none-elf, elf, linux-gnu, zig.")
  endif()
  if(LUKOS_COMPILER)
    set(lukos_names ${LUKOS_COMPILER})
  endif()
  foreach(lukos_candidate IN LISTS lukos_names)
    if(lukos_candidate STREQUAL "zig")
      lukos_find_zig(lukos_compiler)
    else()
      lukos_find_gcc(aarch64-${lukos_candidate} lukos_compiler)
      set(lukos_shown "${lukos_compiler}")
    endif()
    if(lukos_compiler)
      set(lukos_taken ${lukos_candidate})
      break()
    endif()
  endforeach()
  if(NOT lukos_compiler)
    message(FATAL_ERROR "No compiler for AArch64 found (LUKOS_COMPILER='${LUKOS_COMPILER}').\n"
                        "Install one of aarch64-none-elf-gcc, aarch64-elf-gcc, aarch64-linux-gnu-gcc (PATH), "
                        "or the ziglang package from PyPI into .venv, or run `make toolchain`.")
  endif()
  set(CMAKE_C_COMPILER "${lukos_compiler}")
  set(CMAKE_ASM_COMPILER "${lukos_compiler}")
  get_property(lukos_trial GLOBAL PROPERTY IN_TRY_COMPILE) # CMake reads this file once more in its trials
  if(lukos_trial)
  elseif(LUKOS_COMPILER)
    message(NOTICE "    compiler: ${lukos_shown} (asked for by LUKOS_COMPILER)")
  elseif(lukos_taken STREQUAL "none-elf")
    message(NOTICE "    compiler: ${lukos_shown}")
  else()
    message(NOTICE "    compiler: ${lukos_shown} (fall-back '${lukos_taken}': no aarch64-none-elf-gcc here; "
                   "`make toolchain` builds it)")
  endif()
endif()
