/* Reads the host's start from the start disk. init.c describes the layout. */
#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "authority.h"
#include "workspace.h"

#define START_OFFSET (1024 * 1024)
#define SECTOR_BYTES 512u
#define SEED_BYTES 32

/* Reads the disk in order, through a buffer that O_DIRECT accepts. */
struct stream {
    int disk;
    uint64_t disk_offset; /* where the next fill reads */
    uint64_t left;        /* payload bytes not yet taken, those in the buffer included */
    size_t begin, end;    /* what of the buffer is not yet taken */
};

static _Alignas(4096) unsigned char buffer[256 * 1024];

/* Reads `bytes` (a multiple of a sector) into the empty buffer. */
static bool fill(struct stream *stream, size_t bytes)
{
    ssize_t got;

    do {
        got = pread(stream->disk, buffer, bytes, (off_t)stream->disk_offset);
    } while (got < 0 && errno == EINTR);
    if (got <= 0)
        return false;
    stream->disk_offset += (uint64_t)got;
    stream->begin = 0;
    stream->end = (size_t)got;
    return true;
}

/* Points *piece at up to `bytes` next payload bytes and takes them. Returns how many, 0 at the end or on an error. */
static size_t take_piece(struct stream *stream, uint64_t bytes, unsigned char **piece)
{
    size_t count;

    if (bytes > stream->left)
        bytes = stream->left;
    if (bytes == 0)
        return 0;
    if (stream->begin == stream->end) {
        uint64_t wanted = (stream->left + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES;
        if (!fill(stream, wanted < sizeof buffer ? (size_t)wanted : sizeof buffer))
            return 0;
    }
    count = stream->end - stream->begin;
    if (count > bytes)
        count = (size_t)bytes;
    *piece = buffer + stream->begin;
    stream->begin += count;
    stream->left -= count;
    return count;
}

/* Takes exactly `bytes` payload bytes into `to`, or drops them when `to` is NULL. */
static bool take(struct stream *stream, void *to, uint64_t bytes)
{
    unsigned char *out = to;

    while (bytes > 0) {
        unsigned char *piece;
        size_t count = take_piece(stream, bytes, &piece);
        if (count == 0)
            return false;
        if (out != NULL) {
            memcpy(out, piece, count);
            out += count;
        }
        bytes -= count;
    }
    return true;
}

/* Takes a text of `bytes` bytes into fresh memory that ends with a zero. */
static char *take_text(struct stream *stream, uint64_t bytes, uint64_t bytes_max)
{
    char *text;

    if (bytes > bytes_max)
        return NULL;
    text = malloc((size_t)bytes + 1);
    if (text == NULL || !take(stream, text, bytes)) {
        free(text);
        return NULL;
    }
    text[bytes] = 0;
    return text;
}

static bool set_clock(uint64_t unix_nanoseconds)
{
    struct timespec now = {
        .tv_sec = (time_t)(unix_nanoseconds / 1000000000u),
        .tv_nsec = (long)(unix_nanoseconds % 1000000000u),
    };
    return clock_settime(CLOCK_REALTIME, &now) == 0;
}

/* Credits the seed to the kernel's generator and makes the generator use it at once. */
static bool add_seed(const unsigned char seed[SEED_BYTES])
{
    union {
        struct rand_pool_info info;
        unsigned char bytes[sizeof(struct rand_pool_info) + SEED_BYTES];
    } request = { .info = { .entropy_count = SEED_BYTES * 8, .buf_size = SEED_BYTES } };
    int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    bool done;

    if (fd < 0)
        return false;
    memcpy(request.bytes + sizeof request.info, seed, SEED_BYTES);
    done = ioctl(fd, RNDADDENTROPY, &request) == 0 && ioctl(fd, RNDRESEEDCRNG) == 0;
    close(fd);
    return done;
}

/* Makes every folder above `path`, which is absolute. */
static bool make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        int made;
        *slash = 0;
        made = mkdir(path, 0755);
        *slash = '/';
        if (made != 0 && errno != EEXIST)
            return false;
    }
    return true;
}

/* Writes the next `bytes` payload bytes to `path`. */
static bool write_file(struct stream *stream, const char *path, uint32_t mode, uint64_t bytes)
{
    /* An existing file may be a program that runs or a link to somewhere else: it is replaced, not written into. */
    int fd;
    bool whole = true;

    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    while (whole && bytes > 0) {
        unsigned char *piece;
        size_t count = take_piece(stream, bytes, &piece);
        whole = count > 0;
        bytes -= count;
        while (whole && count > 0) {
            ssize_t written = write(fd, piece, count);
            whole = written > 0;
            if (whole) {
                piece += written;
                count -= (size_t)written;
            }
        }
    }
    if (fchmod(fd, mode & 07777) != 0)
        whole = false;
    return close(fd) == 0 && whole;
}

/* Takes the `bytes` bytes that say that there is a container, and makes ready what files can be written into. */
static const char *take_container(struct stream *stream, struct container *container, uint64_t bytes)
{
    char *facts = take_text(stream, bytes, CONTAINER_FACTS_BYTES_MAX);

    if (facts == NULL)
        return "what it says of the container is too long or cut short";
    if (container->is_there)
        return "it has two containers";
    return container_open(container, facts, (size_t)bytes);
}

/* Takes the `bytes` bytes that say how the workspace is to be mounted, and mounts it. */
static const char *take_workspace(struct stream *stream, uint64_t bytes)
{
    char *facts = take_text(stream, bytes, WORKSPACE_FACTS_BYTES_MAX);
    const char *problem;

    if (facts == NULL)
        return "what it says of the workspace is too long or cut short";
    problem = workspace_mount(strcmp(facts, "ro") == 0);
    free(facts);
    return problem;
}

/* Takes the `bytes` bytes of the authority's certificate, and has it trusted. */
static const char *take_authority(struct stream *stream, struct start *start, uint64_t bytes)
{
    char *pem = take_text(stream, bytes, AUTHORITY_BYTES_MAX);

    if (pem == NULL)
        return "the authority's certificate is too long or cut short";
    authority_trust(pem, (size_t)bytes);
    start->has_authority = true;
    free(pem);
    return NULL;
}

/* Takes one file record of `bytes` bytes: a regular file, or, by its mode, a folder or a symbolic link. */
static const char *take_file(struct stream *stream, struct start *start, uint64_t bytes)
{
    static char problem[200];
    struct {
        uint32_t mode, path_bytes;
    } head;
    char *path;
    bool made;

    if (bytes < sizeof head || !take(stream, &head, sizeof head))
        return "a file record is cut short";
    bytes -= sizeof head;
    uint64_t padded = ((uint64_t)head.path_bytes + 7) / 8 * 8;
    if (head.path_bytes > START_PATH_BYTES_MAX || padded > bytes)
        return "a file's path is too long";
    path = take_text(stream, head.path_bytes, START_PATH_BYTES_MAX);
    if (path == NULL || !take(stream, NULL, padded - head.path_bytes))
        return "a file's path is cut short";
    bytes -= padded;
    if (path[0] != '/' || strlen(path) != head.path_bytes)
        return "a file's path is not absolute";
    if (strcmp(path, CONTAINER_FACTS_PATH) == 0) {
        free(path);
        return take_container(stream, &start->container, bytes);
    }
    if (strcmp(path, WORKSPACE_FACTS_PATH) == 0) {
        free(path);
        return take_workspace(stream, bytes);
    }
    if (strcmp(path, AUTHORITY_PATH) == 0) {
        free(path);
        return take_authority(stream, start, bytes);
    }

    made = make_parents(path);
    if (made && S_ISDIR(head.mode)) {
        made = (mkdir(path, 0755) == 0 || errno == EEXIST) && chmod(path, head.mode & 07777) == 0;
        made = take(stream, NULL, bytes) && made;
    } else if (made && S_ISLNK(head.mode)) {
        char *target = take_text(stream, bytes, START_PATH_BYTES_MAX);
        unlink(path);
        made = target != NULL && symlink(target, path) == 0;
        free(target);
    } else if (made) {
        made = write_file(stream, path, head.mode, bytes);
    }
    if (!made) {
        snprintf(problem, sizeof problem, "can't write %.100s: %s", path, strerror(errno));
        free(path);
        return problem;
    }
    free(path);
    return NULL;
}

/* Takes one record's data. */
static const char *take_record(struct stream *stream, struct start *start, uint32_t tag, uint64_t bytes)
{
    char *text = NULL;

    if (tag == START_ARGUMENT || tag == START_ENVIRONMENT || tag == START_DIRECTORY) {
        text = take_text(stream, bytes, START_TEXT_BYTES_MAX);
        if (text == NULL)
            return "a text is too long or cut short";
    }
    switch (tag) {
    case START_ARGUMENT:
        if (start->argument_count == START_TEXTS_MAX)
            return "too many arguments";
        start->arguments[start->argument_count++] = text;
        return NULL;
    case START_ENVIRONMENT:
        if (start->environment_count == START_TEXTS_MAX || strchr(text, '=') == NULL)
            return "too many variables, or one without `=`";
        start->environment[start->environment_count++] = text;
        return NULL;
    case START_DIRECTORY:
        free(start->directory);
        start->directory = text;
        return NULL;
    case START_CLOCK: {
        uint64_t unix_nanoseconds;
        if (bytes != sizeof unix_nanoseconds || !take(stream, &unix_nanoseconds, bytes))
            return "the clock is not 8 bytes";
        return set_clock(unix_nanoseconds) ? NULL : "the kernel did not take the clock";
    }
    case START_SEED: {
        unsigned char seed[SEED_BYTES];
        if (bytes != sizeof seed || !take(stream, seed, bytes))
            return "the seed is not 32 bytes";
        return add_seed(seed) ? NULL : "the kernel did not take the seed";
    }
    case START_TERMINAL: {
        struct {
            uint16_t columns, rows;
            uint32_t flags;
        } terminal;
        if (bytes != sizeof terminal || !take(stream, &terminal, bytes))
            return "the terminal is not 8 bytes";
        start->columns = terminal.columns;
        start->rows = terminal.rows;
        start->terminal_flags = terminal.flags;
        return NULL;
    }
    case START_FILE:
        return take_file(stream, start, bytes);
    default:
        return take(stream, NULL, bytes) ? NULL : "a record is cut short";
    }
}

const char *read_start(int disk, struct start *start)
{
    struct stream stream = { .disk = disk, .disk_offset = START_OFFSET };
    struct {
        uint32_t tag, zero;
        uint64_t bytes;
    } head;
    uint64_t payload_bytes;

    /* The host has nothing to say before its start, so this is the read that waits. */
    if (!fill(&stream, 4096))
        return "the start disk can't be read";
    if (stream.end < 16 || memcmp(buffer, "RPSTART1", 8) != 0)
        return "it does not begin with RPSTART1";
    memcpy(&payload_bytes, buffer + 8, sizeof payload_bytes);
    stream.begin = 16;
    stream.left = payload_bytes;

    while (stream.left > 0) {
        const char *problem;
        if (!take(&stream, &head, sizeof head))
            return "a record's head is cut short";
        if (head.tag == START_END)
            break;
        problem = take_record(&stream, start, head.tag, head.bytes);
        if (problem != NULL)
            return problem;
        if (!take(&stream, NULL, (8 - head.bytes % 8) % 8))
            return "a record's padding is cut short";
    }
    return NULL;
}
