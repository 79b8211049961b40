/* SPDX-License-Identifier: BSD-3-Clause */
#include "drivers/pl011.h"

#include <stdint.h>

/* DDI 0183 table 3-1, as indices of 32-bit registers. */
enum { UARTDR = 0x000 / 4, UARTFR = 0x018 / 4, UARTCR = 0x030 / 4 };

#define UARTFR_TXFF (1U << 5)
#define UARTCR_UARTEN (1U << 0)
#define UARTCR_TXE (1U << 8)

static volatile uint32_t *uart;

void pl011_init(void *registers)
{
    uart = registers;
    uart[UARTCR] = UARTCR_UARTEN | UARTCR_TXE;
}

void pl011_put(char character)
{
    while ((uart[UARTFR] & UARTFR_TXFF) != 0) {
    }
    uart[UARTDR] = (unsigned char)character;
}
