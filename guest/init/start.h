/* The host's start, as read from the start disk; init.c describes the disk. */
#ifndef REPRISE_START_H
#define REPRISE_START_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "container.h"

/* Record tags. */
enum {
    START_END = 0,         /* no more records */
    START_ARGUMENT = 1,    /* one element of the command's argv, in order; none at all means an interactive shell */
    START_ENVIRONMENT = 2, /* NAME=value */
    START_CLOCK = 3,       /* u64: the wall clock in nanoseconds since 1970; before any file, which gets its times from it */
    START_SEED = 4,        /* 32 bytes for the kernel's random number generator */
    START_FILE = 5,        /* u32 mode, u32 path bytes, the absolute path padded to 8 bytes, then the contents */
    START_TERMINAL = 6,    /* u16 columns, u16 rows, u32 flags */
    START_DIRECTORY = 7,   /* the command's working directory */
};

/* Flags of the terminal record. */
enum {
    TERMINAL_INTERACTIVE = 1,       /* a person types; without it, input is not echoed */
    TERMINAL_OUTPUT_AS_WRITTEN = 2, /* no carriage return is added before a newline */
};

/* Limits on what a start may hold; beyond them it is refused. */
enum {
    START_TEXT_BYTES_MAX = 128 * 1024, /* of one argument or variable; the kernel takes no longer one either */
    START_TEXTS_MAX = 4096,            /* arguments, and likewise variables */
    START_PATH_BYTES_MAX = 4095,
};

struct start {
    size_t argument_count;
    char *arguments[START_TEXTS_MAX + 1]; /* ends with NULL */
    size_t environment_count;
    char *environment[START_TEXTS_MAX];
    char *directory; /* NULL when the start names none */
    uint16_t columns, rows; /* 0 when not known */
    uint32_t terminal_flags;
    struct container container;
    bool has_authority; /* which the trust store has */
};

/*
 * Reads the start from an open start disk, waiting until the host has delivered it. Acts at once on what
 * concerns the system: the clock is set, the random number generator seeded, a file written as its record comes by, so
 * that no file is ever held in memory. If there is a container, files are written into it, and it is this process's root
 * at the end. What concerns the command is left in *start. Returns NULL, or a sentence that says what is wrong.
 */
const char *read_start(int disk, struct start *start);

#endif
