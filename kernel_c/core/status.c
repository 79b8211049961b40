/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/status.h"

#include "lukos/vmm.h"
#include "lukos/vmm_arch.h"

static int last[VMM_CPUS];

int status_record(int status)
{
    last[vmm_arch_cpu()] = status;
    return status;
}

int vmm_last_error(void)
{
    return last[vmm_arch_cpu()];
}

const char *status_name(int status)
{
    switch (-status) {
    case 0:
        return "OK";
    case ENOENT:
        return "ENOENT";
    case EBADF:
        return "EBADF";
    case ENOMEM:
        return "ENOMEM";
    case EACCES:
        return "EACCES";
    case EFAULT:
        return "EFAULT";
    case EBUSY:
        return "EBUSY";
    case EEXIST:
        return "EEXIST";
    case EINVAL:
        return "EINVAL";
    case EMFILE:
        return "EMFILE";
    case EFBIG:
        return "EFBIG";
    case ENOSPC:
        return "ENOSPC";
    case ERANGE:
        return "ERANGE";
    case ENAMETOOLONG:
        return "ENAMETOOLONG";
    case EOVERFLOW:
        return "EOVERFLOW";
    case EDQUOT:
        return "EDQUOT";
    case ENOTSUP:
        return "ENOTSUP";
    default:
        return "unknown status";
    }
}
