/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake.h"
#include "host.h"
#include "lib/bits.h"
#include "lukos/files.h"
#include "lukos/vas.h"

/*
 * Commands as bytes: one for the call, one for each argument of it, which is looked up among
 * values worth trying. So almost any input is a sequence of calls that nearly fit together.
 */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COMMANDS_MAX 64
#define RAM_SIZE ((size_t)32 << 20)

struct input {
    const uint8_t *at;
    const uint8_t *end;
};

static uint8_t next(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static const uint16_t sizes[] = {1, 1, 2, 2, 3, 4, 5, 8, 16, 511, 512, 514, 1024, 0, 6, 7};
static const uint16_t blocks[] = {0, 504, 1016};
static const unsigned long attributes[] = {
    PAGE_ATTR_PROT_RW,   PAGE_ATTR_PROT_RW,
    PAGE_ATTR_PROT_READ, PAGE_ATTR_PROT_RX,
    PAGE_ATTR_PROT_NONE, PAGE_ATTR_PROT_WRITE,
    PAGE_ATTR_PROT_RWX,  PAGE_ATTR_PROT_RW | PAGE_ATTR_TYPE_NORMAL_NC,
};
static const unsigned long page_sizes[] = {0, 0, UK_VMA_MAP_SIZE_4KB, UK_VMA_MAP_SIZE_2MB};

/* A page of the window where VMAs go, around the boundaries of 2M in it; now and then any. */
static uint64_t address(uint8_t byte, const struct uk_vas *vas)
{
    if (byte >= 240) {
        return byte == 255 ? 8 * (uint64_t)byte : __VADDR_ANY;
    }
    return vas->vma_base + (blocks[byte / 16 % 3] + byte % 16) * PAGE_SIZE;
}

static unsigned long map_flags(uint8_t byte)
{
    return (byte & (UK_VMA_MAP_POPULATE | UK_VMA_MAP_UNINITIALIZED | UK_VMA_MAP_REPLACE)) |
           page_sizes[byte >> 3 & 3] | ((byte & 0x80) != 0 ? UK_VMA_STACK_GROWS_UP : 0);
}

/* What the arguments of one call have to do with each other. */
struct call {
    uint8_t vas;
    uint8_t kind;
};

static uint64_t argument(enum argument what, uint8_t byte, struct call *call)
{
    switch (what) {
    case ARG_VAS:
        return call->vas = byte % HOST_VASES;
    case ARG_KIND:
        return call->kind = byte % HOST_KINDS;
    case ARG_ADDRESS:
        return address(byte, host_vas[call->vas]);
    case ARG_SIZE:
        return sizes[byte % ARRAY_SIZE(sizes)] * PAGE_SIZE + (byte >= 250);
    case ARG_ATTR:
        return attributes[byte % ARRAY_SIZE(attributes)];
    case ARG_MAP_FLAGS:
        return map_flags(byte);
    case ARG_FLAGS:
        return byte >= 224 ? UK_VMA_FLAG_STRICT_VMA_CHECK : 0;
    case ARG_SOURCE:
        return call->kind == HOST_KIND_FILE ? (3 + byte % 2U) | (uint64_t)(byte >> 5) << 44
                                            : host_dma + byte % 16 * PAGE_SIZE;
    case ARG_ADVICE:
        return (byte & 3) | ((byte & 4) != 0 ? VAS_ADV_PROMOTE : 0);
    case ARG_SMALL:
        return byte & 7;
    default:
        return byte;
    }
}

static void run_one(struct input *input, struct reply *reply)
{
    const struct operation *operation = &host_calls[next(input) % host_call_count];
    uint64_t arguments[HOST_ARGUMENTS] = {0};
    struct call call = {0};

    if (operation->arguments[0] != ARG_VAS) { /* addresses are those of some VAS all the same */
        call.vas = next(input) % HOST_VASES;
    }
    for (unsigned i = 0; i < HOST_ARGUMENTS && operation->arguments[i] != ARG_END; i++) {
        arguments[i] = argument(operation->arguments[i], next(input), &call);
    }
    reply->count = 0;
    operation->run(arguments, reply);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): libFuzzer's type */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    host_start(RAM_SIZE);
    return 0;
}

/* An open file and shared memory to map, so that inputs need not find out how to make them. */
static void prepare(void)
{
    int fd = file_open(host_paths[0], FILE_RW | FILE_CREATE);

    (void)file_write(fd, host_buffer, HOST_BUFFER_SIZE);
    (void)shared_memory_create(8 * PAGE_SIZE, host_shared(0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reply reply;
    struct input input = {data, data + size};

    prepare();

    for (unsigned i = 0; i < COMMANDS_MAX && input.at < input.end; i++) {
        run_one(&input, &reply);
        host_check();
    }
    host_reset();
    return 0;
}
