/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LUKOS_STATUS_H
#define LUKOS_STATUS_H

/*
 * Status of a call: 0, or one of these negated. Numbers as in POSIX on Linux, so that a value
 * seen in a debugger means what the reader expects.
 */
#define EPERM 1   /* the type of a VMA does not allow it */
#define ENOENT 2  /* nothing there: no region at this VA */
#define EBADF 9   /* not an open file, or not open for this */
#define ENOMEM 12 /* no frame, or no contiguous run of frames, left */
#define EACCES 13 /* a file is to be mapped that is not open for reading */
#define EFAULT 14 /* the memory named is not all there */
#define EBUSY 16  /* in use: the address space is active */
#define EEXIST 17 /* something is there already */
#define EINVAL 22 /* an argument that no state could make valid */
#define EMFILE 24 /* as many files are open as can be */
#define EFBIG 27  /* the file would become too large */
#define ENOSPC 28 /* no hole of this size left in the address space */
#define ERANGE 34 /* beyond what the hardware translates */
#define ENAMETOOLONG 36
#define EOVERFLOW 75 /* shared by as many as can be counted */
#define ENOTSUP 95   /* a type of VMA cannot do this */
#define EDQUOT 122   /* more than the limit of the address space */

/* "EINVAL" for -EINVAL; "OK" for 0. For people: console and debugger. */
const char *status_name(int status);

#endif
