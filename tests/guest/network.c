/*
 * What programs do with a network; the server is the test's. Each prints a line.
 *
 * usage: network send|echo|stall|reset|refused|udp ADDRESS PORT BYTES, or network parallel ADDRESS PORT BYTES COUNT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr_in server;
static unsigned char bytes[1 << 16];

static int connected(void)
{
    int sock = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(sock, (struct sockaddr *)&server, sizeof server) != 0) {
        close(sock);
        return -1;
    }
    return sock;
}

static unsigned char expected_at(long offset)
{
    return (unsigned char)(offset % 251);
}

/* Reads what the server sends after `offset` until its end, and checks it. Returns how many there are in all, or -1. */
static long read_to_end(int sock, long offset)
{
    ssize_t length;

    while ((length = read(sock, bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < length; i++)
            if (bytes[i] != expected_at(offset++)) {
                printf("byte %ld is wrong\n", offset - 1);
                return -1;
            }
    return length == 0 ? offset : -1;
}

/* Asks for so many bytes by a command. */
static long ask(const char *command, long count)
{
    int sock = connected();
    long got;

    if (sock < 0)
        return -1;
    dprintf(sock, "%s %ld\n", command, count);
    got = read_to_end(sock, 0);
    close(sock);
    return got;
}

/* Sends and reads at the same time, then says that it has sent all. */
static long echo(long count)
{
    int sock = connected();
    long got;

    if (sock < 0)
        return -1;
    dprintf(sock, "echo 0\n");
    if (fork() == 0) {
        for (long at = 0; at < count;) {
            long length = count - at < 5000 ? count - at : 5000;
            for (long i = 0; i < length; i++)
                bytes[i] = expected_at(at + i);
            if (write(sock, bytes, (size_t)length) != length)
                _exit(1);
            at += length;
        }
        shutdown(sock, SHUT_WR);
        _exit(0);
    }
    got = read_to_end(sock, 0);
    wait(NULL);
    close(sock);
    return got;
}

static long parallel(long count, int times)
{
    long done = 0;

    for (int i = 0; i < times; i++)
        if (fork() == 0)
            _exit(ask("send", count) == count ? 0 : 1);
    for (int i = 0; i < times; i++) {
        int status;
        wait(&status);
        done += status == 0;
    }
    return done;
}

static long udp(void)
{
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in from;
    socklen_t from_bytes = sizeof from;
    ssize_t length;

    sendto(sock, "datagram", 8, 0, (struct sockaddr *)&server, sizeof server);
    length = recvfrom(sock, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &from_bytes);
    if (from.sin_addr.s_addr != server.sin_addr.s_addr || from.sin_port != server.sin_port)
        return -1;
    return length == 8 && memcmp(bytes, "DATAGRAM", 8) == 0 ? length : -1;
}

int main(int argc, char **argv)
{
    const char *what = argc > 4 ? argv[1] : "";
    long count, got = -2;

    if (argc < 5) {
        fprintf(stderr, "usage: network WHAT ADDRESS PORT BYTES [COUNT]\n");
        return 2;
    }
    server.sin_family = AF_INET;
    server.sin_port = htons((unsigned short)atoi(argv[3]));
    inet_aton(argv[2], &server.sin_addr);
    count = atol(argv[4]);
    errno = 0;
    if (strcmp(what, "echo") == 0)
        got = echo(count);
    else if (strcmp(what, "parallel") == 0 && argc > 5)
        got = parallel(count, atoi(argv[5]));
    else if (strcmp(what, "udp") == 0)
        got = udp();
    else
        got = ask(what, count);
    printf("%s: %ld, %s\n", what, got, got < 0 ? strerror(errno) : "ok");
    return got < 0;
}
