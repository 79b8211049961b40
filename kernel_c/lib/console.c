/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/console.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/bits.h"
#include "lib/string.h"

/* Where characters go: to the console, or to memory when `put` is NULL. */
struct sink {
    console_put_t put;
    char *buffer;
    size_t room;   /* characters that still fit in the buffer, without the NUL */
    size_t length; /* of the text so far, cut or not */
};

enum size {
    SIZE_CHAR,
    SIZE_SHORT,
    SIZE_INT,
    SIZE_LONG,
};

/* One conversion specification: what stands between % and the letter. */
struct spec {
    bool left;
    bool zero;
    bool has_precision;
    size_t width;
    size_t precision;
    enum size size;
};

/* va_list may be an array type, which cannot be passed by reference; a structure can. */
struct arguments {
    va_list list;
};

static console_put_t console;

static void emit(struct sink *sink, char character)
{
    sink->length++;
    if (sink->put != NULL) {
        sink->put(character);
    } else if (sink->room > 0) {
        sink->room--;
        *sink->buffer++ = character;
    }
}

static void emit_text(struct sink *sink, const char *text, size_t length)
{
    for (size_t i = 0; i != length; i++)
        emit(sink, text[i]);
}

static void emit_fill(struct sink *sink, char character, size_t count)
{
    while (count-- > 0)
        emit(sink, character);
}

/* prefix, then body, on the side of the field that the flags say. Zeros go between the two. */
static void emit_field(struct sink *sink, const struct spec *spec, const char *prefix,
                       const char *body, size_t length)
{
    size_t used = strlen(prefix) + length;
    size_t fill = max_size(spec->width, used) - used;
    bool zeros = spec->zero && !spec->left;

    if (!spec->left && !zeros)
        emit_fill(sink, ' ', fill);
    emit_text(sink, prefix, strlen(prefix));
    if (zeros)
        emit_fill(sink, '0', fill);
    emit_text(sink, body, length);
    if (spec->left)
        emit_fill(sink, ' ', fill);
}

static void emit_number(struct sink *sink, const struct spec *spec, const char *prefix,
                        uint64_t value, unsigned base, const char *digits)
{
    char text[20]; /* of UINT64_MAX in decimal */
    size_t at = sizeof(text);

    do {
        text[--at] = digits[value % base];
        value /= base;
    } while (value != 0);
    emit_field(sink, spec, prefix, text + at, sizeof(text) - at);
}

static void emit_signed(struct sink *sink, const struct spec *spec, int64_t value)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    emit_number(sink, spec, value < 0 ? "-" : "", magnitude, 10, "0123456789");
}

static void emit_string(struct sink *sink, struct spec spec, const char *text)
{
    if (text == NULL)
        text = "(null)";
    spec.zero = false;
    emit_field(sink, &spec, "", text,
               strnlen(text, spec.has_precision ? spec.precision : SIZE_MAX));
}

static void emit_character(struct sink *sink, struct spec spec, char character)
{
    spec.zero = false;
    emit_field(sink, &spec, "", &character, 1);
}

static uint64_t take_unsigned(struct arguments *arguments, enum size size)
{
    unsigned int value;

    if (size == SIZE_LONG)
        return va_arg(arguments->list, unsigned long);
    value = va_arg(arguments->list, unsigned int);
    if (size == SIZE_SHORT)
        return (unsigned short)value;
    return size == SIZE_CHAR ? (unsigned char)value : value;
}

static int64_t take_signed(struct arguments *arguments, enum size size)
{
    int value;

    if (size == SIZE_LONG)
        return va_arg(arguments->list, long);
    value = va_arg(arguments->list, int);
    if (size == SIZE_SHORT)
        return (short)value;
    return size == SIZE_CHAR ? (signed char)value : value;
}

static const char *parse_flags(const char *at, struct spec *spec)
{
    for (;; at++) {
        if (*at == '-')
            spec->left = true;
        else if (*at == '0')
            spec->zero = true;
        else
            return at;
    }
}

/* A number, or * for the next argument. Numbers above INT_MAX become INT_MAX. */
static const char *parse_count(const char *at, struct arguments *arguments, int64_t *count)
{
    *count = 0;
    if (*at == '*') {
        *count = va_arg(arguments->list, int);
        return at + 1;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        *count = *count * 10 + (*at - '0');
        if (*count > INT_MAX)
            *count = INT_MAX;
    }
    return at;
}

static const char *parse_width(const char *at, struct spec *spec, struct arguments *arguments)
{
    int64_t count;

    at = parse_count(at, arguments, &count);
    spec->left |= count < 0; /* a negative * is the flag - and a width */
    spec->width = (size_t)__builtin_llabs(count);
    if (*at == '.') {
        at = parse_count(at + 1, arguments, &count);
        spec->has_precision = count >= 0; /* a negative * is none */
        spec->precision = (size_t)count;
    }
    return at;
}

/* Of AArch64's integers long, long long, size_t, ptrdiff_t and intmax_t are the same. */
static const char *parse_size(const char *at, struct spec *spec)
{
    spec->size = SIZE_INT;
    for (;; at++) {
        switch (*at) {
        case 'l':
        case 'z':
        case 't':
        case 'j':
            spec->size = SIZE_LONG;
            break;
        case 'h':
            spec->size = spec->size == SIZE_SHORT ? SIZE_CHAR : SIZE_SHORT;
            break;
        default:
            return at;
        }
    }
}

static void emit_pointer(struct sink *sink, struct spec spec, const void *pointer)
{
    char digits[16];

    for (size_t i = 0; i < sizeof(digits); i++)
        digits[i] = "0123456789abcdef"[(uintptr_t)pointer >> (60 - 4 * i) & 0xf];
    emit_field(sink, &spec, "0x", digits, sizeof(digits));
}

/* False: letter is no conversion of ours. */
static bool convert(struct sink *sink, char letter, const struct spec *spec,
                    struct arguments *arguments)
{
    switch (letter) {
    case 'd':
    case 'i':
        emit_signed(sink, spec, take_signed(arguments, spec->size));
        return true;
    case 'u':
        emit_number(sink, spec, "", take_unsigned(arguments, spec->size), 10, "0123456789");
        return true;
    case 'x':
        emit_number(sink, spec, "", take_unsigned(arguments, spec->size), 16, "0123456789abcdef");
        return true;
    case 'X':
        emit_number(sink, spec, "", take_unsigned(arguments, spec->size), 16, "0123456789ABCDEF");
        return true;
    case 'p':
        emit_pointer(sink, *spec, va_arg(arguments->list, void *));
        return true;
    case 's':
        emit_string(sink, *spec, va_arg(arguments->list, const char *));
        return true;
    case 'c':
        emit_character(sink, *spec, (char)va_arg(arguments->list, int));
        return true;
    case '%':
        emit(sink, '%');
        return true;
    default:
        return false;
    }
}

/* at: behind the %. The result: behind the conversion. */
static const char *format_one(struct sink *sink, const char *at, struct arguments *arguments)
{
    const char *start = at;
    struct spec spec = {0};

    at = parse_flags(at, &spec);
    at = parse_width(at, &spec, arguments);
    at = parse_size(at, &spec);
    if (*at != '\0' && convert(sink, *at, &spec, arguments))
        return at + 1;
    emit(sink, '%');
    return start;
}

static void format_all(struct sink *sink, const char *format, va_list list)
{
    struct arguments arguments;

    va_copy(arguments.list, list);
    while (*format != '\0') {
        if (*format == '%')
            format = format_one(sink, format + 1, &arguments);
        else
            emit(sink, *format++);
    }
    va_end(arguments.list);
}

void console_set(console_put_t put)
{
    console = put;
}

void console_vprintf(const char *format, va_list arguments)
{
    struct sink sink = {.put = console};

    format_all(&sink, format, arguments);
}

void console_printf(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    console_vprintf(format, arguments);
    va_end(arguments);
}

int format_string(char *buffer, size_t size, const char *format, ...)
{
    struct sink sink = {.buffer = buffer, .room = size > 0 ? size - 1 : 0};
    va_list arguments;

    va_start(arguments, format);
    format_all(&sink, format, arguments);
    va_end(arguments);
    if (size > 0)
        *sink.buffer = '\0';
    return (int)sink.length;
}
