/* SPDX-License-Identifier: BSD-3-Clause */
#include <uk/vmem.h>
