/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORE_STATUS_H
#define CORE_STATUS_H

#include "lukos/status.h"

/* Record the status of the call that ends here, for vmm_last_error(), and return it. */
int status_record(int status);

#endif
