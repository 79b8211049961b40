/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

/*
 * Commands as text: a line "name number ..." in, a line of numbers in hexadecimal out. "mark"
 * keeps the state, "reset" goes back to it. A panic, or a sanitizer's finding, ends the program.
 */

#define LINE_SIZE 512
#define EXIT_RESET 3

static const struct operation *find_in(const struct operation *table, size_t count,
                                       const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(table[i].name, name) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

static const struct operation *find(const char *name)
{
    const struct operation *operation = find_in(host_calls, host_call_count, name);

    if (operation == NULL) {
        operation = find_in(host_questions, host_question_count, name);
    }
    if (operation == NULL) {
        (void)fprintf(stderr, "no such command: '%s'\n", name);
        exit(EXIT_FAILURE);
    }
    return operation;
}

static void run(char *line)
{
    static struct reply reply;
    uint64_t arguments[HOST_ARGUMENTS] = {0};
    const struct operation *operation = find(strtok(line, " \n"));

    for (unsigned i = 0; i < HOST_ARGUMENTS && operation->arguments[i] != ARG_END; i++) {
        const char *word = strtok(NULL, " \n");

        if (word == NULL) {
            (void)fprintf(stderr, "'%s' wants more than %u arguments\n", operation->name, i);
            exit(EXIT_FAILURE);
        }
        arguments[i] = strtoull(word, NULL, 0);
    }
    reply.count = 0;
    operation->run(arguments, &reply);
    for (size_t i = 0; i < reply.count; i++) {
        (void)printf("%s%" PRIx64, i == 0 ? "" : " ", reply.values[i]);
    }
    (void)putchar('\n');
    (void)fflush(stdout);
}

/*
 * The state is that of a process which waits, while a child of it goes on. Both read the same
 * pipe, of which nothing is read ahead as long as every command waits for its reply.
 */
static void mark(void)
{
    for (;;) {
        pid_t child = fork();
        int status;

        if (child == 0) {
            break;
        }
        if (child < 0 || waitpid(child, &status, 0) < 0) {
            perror("mark");
            exit(EXIT_FAILURE);
        }
        if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_RESET) {
            _exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
        }
    }
    (void)putchar('\n');
    (void)fflush(stdout);
}

int main(void)
{
    char line[LINE_SIZE];

    host_start((size_t)64 << 20);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (strcmp(line, "mark\n") == 0) {
            mark();
        } else if (strcmp(line, "reset\n") == 0) {
            _exit(EXIT_RESET);
        } else {
            run(line);
        }
    }
    return EXIT_SUCCESS;
}
