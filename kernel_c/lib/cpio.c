/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/cpio.h"

#include "lib/bits.h"
#include "lib/string.h"

#define MAGIC "070701"
#define MAGIC_SIZE (sizeof(MAGIC) - 1)
#define DIGITS ((size_t)8)
#define TRAILER "TRAILER!!!"

/* The fields behind the magic number, in order. */
enum field {
    FIELD_INODE,
    FIELD_MODE,
    FIELD_USER,
    FIELD_GROUP,
    FIELD_LINKS,
    FIELD_TIME,
    FIELD_SIZE,
    FIELD_DEVICE_MAJOR,
    FIELD_DEVICE_MINOR,
    FIELD_SPECIAL_MAJOR,
    FIELD_SPECIAL_MINOR,
    FIELD_NAME_SIZE,
    FIELD_CHECK,
    FIELDS,
};

#define HEADER_SIZE (MAGIC_SIZE + FIELDS * DIGITS)

/* The value of a hexadecimal digit; 16: it is none. */
static uint32_t digit(uint8_t character)
{
    if (character >= '0' && character <= '9') {
        return character - (uint32_t)'0';
    }
    character |= 0x20; /* lower case */
    return character >= 'a' && character <= 'f' ? character - (uint32_t)'a' + 10 : 16;
}

static int read_fields(const uint8_t *header, uint32_t *fields)
{
    const uint8_t *at = header + MAGIC_SIZE;

    if (memcmp(header, MAGIC, MAGIC_SIZE) != 0) {
        return -EINVAL;
    }
    for (size_t i = 0; i < FIELDS * DIGITS; i++) {
        uint32_t value = digit(at[i]);

        if (value > 15) {
            return -EINVAL;
        }
        fields[i / DIGITS] = fields[i / DIGITS] << 4 | value;
    }
    return 0;
}

/* The next size bytes of the archive, false if it has fewer; offset goes behind them. */
static bool take(const struct cpio *cpio, size_t *offset, size_t size, const uint8_t **part)
{
    if (size > cpio->size - *offset) {
        return false;
    }
    *part = cpio->archive + *offset;
    *offset += size;
    return true;
}

/* Padding that the end of the archive cuts off is not missed. */
static void skip_padding(const struct cpio *cpio, size_t *offset)
{
    *offset = min_size(align_up(*offset, 4), cpio->size);
}

/* One NUL, at its end, and something before it. */
static int check_name(const char *name, size_t size)
{
    return size < 2 || strnlen(name, size) != size - 1 ? -EINVAL : 0;
}

int cpio_next(struct cpio *cpio, struct cpio_entry *entry)
{
    uint32_t fields[FIELDS] = {0};
    size_t offset = cpio->offset;
    const uint8_t *part;
    const char *name;

    if (!take(cpio, &offset, HEADER_SIZE, &part) || read_fields(part, fields) != 0) {
        return -EINVAL;
    }
    if (!take(cpio, &offset, fields[FIELD_NAME_SIZE], &part)) {
        return -EINVAL;
    }
    name = (const char *)part;
    if (check_name(name, fields[FIELD_NAME_SIZE]) != 0) {
        return -EINVAL;
    }
    if (strcmp(name, TRAILER) == 0) {
        return -ENOENT;
    }
    skip_padding(cpio, &offset);
    if (!take(cpio, &offset, fields[FIELD_SIZE], &part)) {
        return -EINVAL;
    }
    skip_padding(cpio, &offset);
    cpio->offset = offset;
    *entry = (struct cpio_entry){
        .name = name,
        .data = part,
        .size = fields[FIELD_SIZE],
        .mode = fields[FIELD_MODE],
        .links = fields[FIELD_LINKS],
    };
    return 0;
}
