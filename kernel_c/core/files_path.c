/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/files.h"

#include "lib/string.h"
#include "lukos/status.h"

/* Append the component [from, from + len) to the path of *used characters. */
static int append(char *path, size_t *used, const char *from, size_t len)
{
    if (len == 0 || (len == 1 && from[0] == '.')) {
        return 0;
    }
    if (len == 2 && from[0] == '.' && from[1] == '.') {
        return -EINVAL;
    }
    if (len + 1 >= FILE_PATH_MAX - *used) {
        return -ENAMETOOLONG;
    }
    path[(*used)++] = '/';
    memcpy(path + *used, from, len);
    *used += len;
    path[*used] = '\0';
    return 0;
}

int file_normalise(const char *from, char *path)
{
    size_t used = 0;

    while (from != NULL && *from != '\0') {
        size_t len = 0;
        int status;

        while (from[len] != '\0' && from[len] != '/' && len < FILE_PATH_MAX) {
            len++;
        }
        status = append(path, &used, from, len);
        if (status != 0) {
            return status;
        }
        from += len;
        from += *from == '/';
    }
    return used == 0 ? -EINVAL : 0;
}
