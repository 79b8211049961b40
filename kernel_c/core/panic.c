/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/assert.h"
#include "lib/console.h"
#include "lukos/boot.h"

_Noreturn void panic(const char *fmt, ...)
{
    va_list arguments;

    va_start(arguments, fmt);
    console_printf("panic: ");
    console_vprintf(fmt, arguments);
    console_printf("\n");
    va_end(arguments);
    arch_power_off();
}
