# SPDX-License-Identifier: BSD-3-Clause
#
# Picks the compiler of the build host, in this order, and says which, with the sanitizers that it can link:
#
#   cc, gcc, clang   AddressSanitizer and UndefinedBehaviorSanitizer
#   zig              clang in the `ziglang` wheel of the project's virtual environment: UndefinedBehaviorSanitizer alone,
#                    which is all that comes with it
#
# With LUKOS_LIBFUZZER: a clang with all of that and libFuzzer.
#
# LUKOS_HOST_COMPILER takes one program and no other. Sets CMAKE_C_COMPILER and LUKOS_SANITIZERS.

get_filename_component(LUKOS_ROOT "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
set(host_trial "${CMAKE_BINARY_DIR}/trial")
file(WRITE "${host_trial}.c" "int LLVMFuzzerTestOneInput(const unsigned char *data, unsigned long size);\n"
     "int LLVMFuzzerTestOneInput(const unsigned char *data, unsigned long size) { return size != 0 && data[0] == 1; }\n"
     "#ifndef WITHOUT_MAIN\nint main(void) { return 0; }\n#endif\n")

# Whether a program made with these flags can be linked and run.
function(host_can compiler flags result)
  set(${result} FALSE PARENT_SCOPE)
  execute_process(COMMAND ${compiler} ${flags} -o "${host_trial}" "${host_trial}.c" RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
  if(failed EQUAL 0)
    execute_process(COMMAND "${host_trial}" -runs=1 RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
  endif()
  if(failed EQUAL 0)
    set(${result} TRUE PARENT_SCOPE)
  endif()
endfunction()

function(host_find_zig result)
  file(GLOB wheels "$ENV{VIRTUAL_ENV}/lib/python3*/site-packages/ziglang" "${LUKOS_ROOT}/.venv/lib/python3*/site-packages/ziglang")
  find_program(found NAMES zig PATHS ${wheels} ENV PATH NO_DEFAULT_PATH NO_CACHE)
  set(${result} "" PARENT_SCOPE)
  if(found)
    set(script "${CMAKE_BINARY_DIR}/zig-cc")
    file(CONFIGURE OUTPUT "${script}" @ONLY NEWLINE_STYLE UNIX CONTENT "#!/bin/sh\nexec '@found@' cc \"$@\"\n")
    file(CHMOD "${script}" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
    set(${result} "${script}" PARENT_SCOPE)
  endif()
endfunction()

if(LUKOS_HOST_COMPILER)
  set(host_names ${LUKOS_HOST_COMPILER})
elseif(LUKOS_LIBFUZZER)
  set(host_names clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14 cc)
else()
  set(host_names cc gcc clang zig)
endif()
foreach(host_name IN LISTS host_names)
  set(host_wanted address,undefined)
  if(host_name STREQUAL "zig")
    host_find_zig(host_compiler)
    set(host_wanted undefined)
  else()
    find_program(host_compiler NAMES ${host_name} NO_CACHE)
  endif()
  if(LUKOS_LIBFUZZER)
    set(host_flags -DWITHOUT_MAIN -fsanitize=fuzzer,${host_wanted})
  else()
    set(host_flags -fsanitize=${host_wanted})
  endif()
  if(host_compiler)
    host_can("${host_compiler}" "${host_flags}" host_works)
    if(host_works)
      break()
    endif()
  endif()
  unset(host_compiler)
endforeach()
if(NOT host_compiler AND LUKOS_LIBFUZZER)
  message(FATAL_ERROR "No compiler with libFuzzer found (tried: ${host_names}).")
elseif(NOT host_compiler)
  message(FATAL_ERROR "No compiler of the build host with sanitizers found (tried: ${host_names}).\n"
                      "Install gcc or clang, or the ziglang package from PyPI into .venv.")
endif()
set(CMAKE_C_COMPILER "${host_compiler}")
set(LUKOS_SANITIZERS ${host_wanted})
message(NOTICE "    compiler of the host: ${host_compiler}, with -fsanitize=${LUKOS_SANITIZERS}")
