/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DRIVERS_PL011_H
#define DRIVERS_PL011_H

/* The PrimeCell UART (Arm DDI 0183), transmit only, polled. Firmware has set the line up. */
void pl011_init(void *registers);
void pl011_put(char character);

#endif
