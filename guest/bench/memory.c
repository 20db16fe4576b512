/*
 * Memory: a chase through pointers in an order that no prefetcher guesses, and copies of large blocks.
 *
 * Usage: memory [ITERATIONS]   (default 20; about 3 million instructions each)
 *
 * Prints a checksum that is the same on every correct machine.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CELLS = 128 * 1024, /* of 8 bytes: 1 MiB, more pages than a TLB has entries */
    BLOCK_BYTES = 2 * 1024 * 1024,
};

static uint64_t cells[CELLS];
static unsigned char from[BLOCK_BYTES], to[BLOCK_BYTES];

int main(int argc, char **argv)
{
    long iterations = argc > 1 ? atol(argv[1]) : 20;
    uint64_t at = 0, sum = 0;

    /* One cycle through all cells: a full-period generator modulo a power of two. */
    for (uint64_t i = 0, cell = 0; i < CELLS; i++) {
        uint64_t next = (cell * 69069 + 12345) % CELLS;
        cells[cell] = next;
        cell = next;
    }
    for (long i = 0; i < iterations; i++) {
        for (int step = 0; step < CELLS; step++) {
            at = cells[at];
            sum = (((sum << 23) | (sum >> 41)) ^ at) * 0x9e3779b97f4a7c15u;
        }
        memset(from, (int)(sum & 0xff), BLOCK_BYTES / 2);
        memcpy(to, from, BLOCK_BYTES);
        memmove(from + 4096, to, BLOCK_BYTES - 4096);
        sum += from[BLOCK_BYTES / 3] + to[BLOCK_BYTES - 1];
    }
    printf("memory %ld %016llx\n", iterations, (unsigned long long)sum);
    return 0;
}
