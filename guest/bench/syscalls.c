/*
 * System calls: the cheapest there is, and a write to a device that drops it.
 *
 * Usage: syscalls [ITERATIONS]   (default 20000; two calls each)
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    long iterations = argc > 1 ? atol(argv[1]) : 20000;
    int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
    long calls = 0;

    if (sink < 0) {
        perror("/dev/null");
        return 1;
    }
    for (long i = 0; i < iterations; i++) {
        /* Called by number, since a C library may answer getpid() by itself. */
        calls += syscall(SYS_getpid) > 0;
        calls += write(sink, "x", 1) == 1;
    }
    printf("syscalls %ld %ld\n", iterations, calls);
    return calls == 2 * iterations ? 0 : 1;
}
