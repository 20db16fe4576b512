/*
 * What programs do with files, done in the workspace; each operation is checked against what POSIX says, or against a model in memory.
 *
 * usage: workspace operations|random SEED COUNT
 *
 * The folder holds, from the host: `base`, BASE_BYTES bytes of noise(1); `large`, 5 GiB of zeros with "the end" as its last bytes;
 * `odd-\xff\xfe` with "odd"; `link`, a symbolic link to `d/inner`, which holds "inner"; `outside`, a link that leads out.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define BASE_BYTES 300001
#define LARGE_BYTES (5ull << 30)

static const char *doing = "";

static _Noreturn void fail(int line, const char *what)
{
    printf("%s: line %d: %s (errno: %s)\n", doing, line, what, strerror(errno));
    exit(1);
}

#define CHECK(condition)                 \
    do {                                 \
        if (!(condition))                \
            fail(__LINE__, #condition);  \
    } while (0)

/* Checks that an expression fails with this error. */
#define REFUSED(expression, error) CHECK((errno = 0, (expression) < 0 && errno == (error)))

/* The bytes of Rust's `noise` in the test. */
static void noise(unsigned char *to, size_t bytes)
{
    uint64_t state = 1;

    for (size_t i = 0; i < bytes; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        to[i] = (unsigned char)(state >> 56);
    }
}

/* Lets nothing be answered from the guest's own caches. */
static void drop_caches(void)
{
    int fd;

    sync();
    fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
    CHECK(fd >= 0 && write(fd, "3", 1) == 1);
    close(fd);
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ssize_t length = (ssize_t)strlen(text);

    CHECK(fd >= 0 && write(fd, text, strlen(text)) == length && close(fd) == 0);
}

static void holds(const char *path, const char *text)
{
    char found[256];
    int fd = open(path, O_RDONLY);
    ssize_t length;

    CHECK(fd >= 0);
    length = read(fd, found, sizeof found);
    CHECK(length == (ssize_t)strlen(text) && memcmp(found, text, strlen(text)) == 0);
    CHECK(close(fd) == 0);
}

static off_t size_of(const char *path)
{
    struct stat stat;

    CHECK(lstat(path, &stat) == 0);
    return stat.st_size;
}

static int count_entries(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    int count = 0;

    CHECK(directory != NULL);
    while ((errno = 0, entry = readdir(directory)) != NULL)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    CHECK(errno == 0);
    closedir(directory);
    return count;
}

static void base_files(void)
{
    static unsigned char expected[BASE_BYTES], found[BASE_BYTES + 1];
    char target[64];
    int fd = open("base", O_RDONLY);

    noise(expected, BASE_BYTES);
    CHECK(fd >= 0 && read(fd, found, sizeof found) == BASE_BYTES && memcmp(expected, found, BASE_BYTES) == 0);
    /* A page beyond the first part, by itself. */
    drop_caches();
    CHECK(pread(fd, found, 5000, 200000) == 5000 && memcmp(expected + 200000, found, 5000) == 0);
    close(fd);
    CHECK(readlink("link", target, sizeof target) == 7 && memcmp(target, "d/inner", 7) == 0);
    holds("link", "inner");
    holds("odd-\xff\xfe", "odd");
    /* Where a link leads is the guest's own affair: the host's file is not there. */
    REFUSED(open("outside", O_RDONLY), ENOENT);
    REFUSED(open("../outside-file", O_RDONLY), ENOENT);
}

static void large_file(void)
{
    char found[8] = "";
    int fd = open("large", O_RDWR);

    CHECK(fd >= 0 && size_of("large") == (off_t)LARGE_BYTES);
    CHECK(pread(fd, found, 8, (off_t)LARGE_BYTES - 7) == 7 && memcmp(found, "the end", 7) == 0);
    CHECK(pwrite(fd, "4 GiB", 5, (off_t)(4ull << 30) - 2) == 5);
    CHECK(ftruncate(fd, (off_t)(4ull << 30) + 3) == 0);
    drop_caches();
    CHECK(pread(fd, found, 8, (off_t)(4ull << 30) - 2) == 5 && memcmp(found, "4 GiB", 5) == 0);
    CHECK(close(fd) == 0);
}

static void append(void)
{
    int first, second;

    put("log", "1");
    first = open("log", O_WRONLY | O_APPEND);
    second = open("log", O_WRONLY | O_APPEND);
    CHECK(first >= 0 && second >= 0);
    CHECK(write(first, "2", 1) == 1 && write(second, "3", 1) == 1 && write(first, "4", 1) == 1);
    close(first);
    close(second);
    drop_caches();
    holds("log", "1234");
    /* To a file of the host, too. */
    first = open("d/inner", O_WRONLY | O_APPEND);
    CHECK(first >= 0 && write(first, "+", 1) == 1 && close(first) == 0);
    holds("link", "inner+");
}

static void rename_and_unlink(void)
{
    int fd;
    char found[8];
    struct stat before, after;

    put("new", "new");
    put("old", "old");
    fd = open("old", O_RDONLY);
    CHECK(fd >= 0 && rename("new", "old") == 0);
    holds("old", "new");
    /* Who has it open still sees what was there. */
    CHECK(read(fd, found, 8) == 3 && memcmp(found, "old", 3) == 0);
    close(fd);
    REFUSED(open("new", O_RDONLY), ENOENT);

    put("open", "still here");
    fd = open("open", O_RDWR);
    CHECK(fd >= 0 && unlink("open") == 0);
    REFUSED(access("open", F_OK), ENOENT);
    CHECK(write(fd, "STILL", 5) == 5 && pread(fd, found, 8, 0) == 8 && memcmp(found, "STILL he", 8) == 0);
    CHECK(fstat(fd, &after) == 0 && after.st_size == 10 && after.st_nlink == 0);
    put("open", "another");
    holds("open", "another");
    close(fd);

    /* A file of the host's, renamed into a folder and out again. */
    CHECK(stat("base", &before) == 0 && rename("base", "d/moved") == 0 && rename("d/moved", "base2") == 0);
    CHECK(stat("base2", &after) == 0 && before.st_ino == after.st_ino && after.st_size == BASE_BYTES);
    CHECK(rename("base2", "base") == 0);
    CHECK(rename("d", "e") == 0 && rename("e", "d") == 0);
    holds("d/inner", "inner+");
    CHECK(mkdir("d/sub", 0755) == 0);
    REFUSED(rename("d", "d/sub/d"), EINVAL);
    REFUSED(rmdir("d"), ENOTEMPTY);
    REFUSED(unlink("d"), EISDIR);
    REFUSED(mkdir("d", 0755), EEXIST);
    REFUSED(open("log", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
    CHECK(rmdir("d/sub") == 0);

    CHECK(link("log", "log2") == 0 && stat("log", &before) == 0 && before.st_nlink == 2);
    put("log2", "by the other name");
    holds("log", "by the other name");
    CHECK(unlink("log") == 0);
    holds("log2", "by the other name");
}

static void attributes(void)
{
    struct timespec times[] = { { 1000, 123456789 }, { 2000, 987654321 } };
    struct stat stat_;
    struct statvfs space;

    put("attributes", "x");
    CHECK(chmod("attributes", 04751) == 0 && chown("attributes", 12, 34) == 0);
    CHECK(utimensat(AT_FDCWD, "attributes", times, 0) == 0);
    drop_caches();
    CHECK(stat("attributes", &stat_) == 0 && stat_.st_uid == 12 && stat_.st_gid == 34);
    /* Linux's v9fs keeps whole seconds. */
    CHECK(stat_.st_mtim.tv_sec == 2000 && stat_.st_mtim.tv_nsec == 0);
    CHECK((stat_.st_mode & 0777) == 0751);
    CHECK(statvfs(".", &space) == 0 && space.f_blocks * space.f_frsize == 512ull << 20);
}

static void truncate_and_holes(void)
{
    unsigned char found[16];
    int fd = open("holes", O_RDWR | O_CREAT, 0644);

    CHECK(fd >= 0 && pwrite(fd, "end", 3, 100000) == 3);
    CHECK(pread(fd, found, 3, 50000) == 3 && found[0] == 0 && found[2] == 0);
    CHECK(ftruncate(fd, 100001) == 0 && ftruncate(fd, 100003) == 0);
    drop_caches();
    CHECK(pread(fd, found, 16, 100000) == 3 && memcmp(found, "e\0\0", 3) == 0);
    CHECK(truncate("base", 10) == 0 && truncate("base", 20) == 0);
    drop_caches();
    int base = open("base", O_RDONLY);
    CHECK(base >= 0 && pread(base, found, 16, 8) == 12 && found[1] != 0 && found[2] == 0 && found[11] == 0);
    close(base);
    close(fd);
}

static void mapping(void)
{
    int fd = open("mapped", O_RDWR | O_CREAT, 0644);
    char *map, found[8];
    int status;

    CHECK(fd >= 0 && ftruncate(fd, 10000) == 0);
    map = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    memcpy(map + 5000, "mapped", 6);
    CHECK(pread(fd, found, 6, 5000) == 6 && memcmp(found, "mapped", 6) == 0);
    CHECK(msync(map, 10000, MS_SYNC) == 0);
    CHECK(pwrite(fd, "M", 1, 5000) == 1 && map[5000] == 'M');
    /* Another process sees it. */
    if (fork() == 0) {
        map[5001] = 'A';
        _exit(0);
    }
    CHECK(wait(&status) > 0 && status == 0 && map[5001] == 'A');
    CHECK(munmap(map, 10000) == 0 && close(fd) == 0);
    drop_caches();
    fd = open("mapped", O_RDONLY);
    CHECK(fd >= 0 && pread(fd, found, 6, 5000) == 6 && memcmp(found, "MApped", 6) == 0);
    close(fd);
}

static void locks(void)
{
    int first = open("lock", O_RDWR | O_CREAT, 0644), second = open("lock", O_RDWR);
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int status;

    CHECK(first >= 0 && second >= 0);
    CHECK(flock(first, LOCK_EX) == 0);
    REFUSED(flock(second, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK(flock(first, LOCK_UN) == 0 && flock(second, LOCK_EX | LOCK_NB) == 0 && flock(second, LOCK_UN) == 0);
    CHECK(fcntl(first, F_SETLK, &whole) == 0);
    if (fork() == 0)
        _exit(fcntl(second, F_SETLK, &whole) == 0 ? 1 : errno == EAGAIN || errno == EACCES ? 0 : 2);
    CHECK(wait(&status) > 0 && status == 0);
    close(first);
    close(second);
}

/* Entries that are there from the beginning to the end of a walk are seen once, whatever else comes and goes meanwhile. */
static void walk_while_changing(void)
{
    static unsigned char seen[1000];
    char name[64];
    struct dirent *entry;
    DIR *directory;
    int walked = 0;

    CHECK(mkdir("many", 0755) == 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "many/file-with-a-name-%d", i);
        put(name, "");
    }
    directory = opendir("many");
    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        int number;
        if (sscanf(entry->d_name, "file-with-a-name-%d", &number) == 1 && number < 1000)
            CHECK(seen[number]++ == 0);
        if (walked++ % 10 == 0) {
            /* Odd ones go, new ones come. */
            snprintf(name, sizeof name, "many/file-with-a-name-%d", walked | 1);
            unlink(name);
            snprintf(name, sizeof name, "many/new-%d", walked);
            put(name, "");
        }
    }
    closedir(directory);
    for (int i = 0; i < 1000; i += 2)
        CHECK(seen[i] == 1);
    CHECK(system("rm -r many") == 0);
    REFUSED(access("many", F_OK), ENOENT);
}

static void odd_names(void)
{
    char longest[257];
    int before = count_entries(".");

    memset(longest, 'n', sizeof longest);
    longest[255] = 0;
    put(longest, "long");
    holds(longest, "long");
    longest[255] = 'n';
    longest[256] = 0;
    REFUSED(open(longest, O_CREAT | O_RDWR, 0644), ENAMETOOLONG);
    put("\x80\n\xff", "not UTF-8");
    drop_caches();
    holds("\x80\n\xff", "not UTF-8");
    CHECK(symlink("\xfe/x", "odd-link") == 0 && size_of("odd-link") == 3);
    CHECK(count_entries(".") == before + 3);
    longest[255] = 0;
    CHECK(unlink(longest) == 0 && unlink("\x80\n\xff") == 0 && unlink("odd-link") == 0);
    CHECK(count_entries(".") == before);
}

/* More than fits is refused, and what was there before stays. */
static void full(void)
{
    static char block[1 << 20];
    int fd = open("full", O_RDWR | O_CREAT, 0644);
    bool is_full = false;

    CHECK(fd >= 0);
    memset(block, 'f', sizeof block);
    for (int i = 0; i < 600 && !is_full; i++)
        is_full = write(fd, block, sizeof block) != sizeof block || fsync(fd) != 0;
    CHECK(is_full && errno == ENOSPC);
    CHECK(ftruncate(fd, 0) == 0 && fsync(fd) == 0);
    CHECK(pwrite(fd, "room", 4, 0) == 4 && fsync(fd) == 0);
    close(fd);
    drop_caches();
    holds("full", "room");
    holds("log2", "by the other name");
}

static void operations(void)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } all[] = {
        { "base files", base_files },     { "large file", large_file },
        { "append", append },             { "rename and unlink", rename_and_unlink },
        { "attributes", attributes },     { "truncate and holes", truncate_and_holes },
        { "mapping", mapping },           { "locks", locks },
        { "odd names", odd_names },       { "walk while changing", walk_while_changing },
        { "full", full },
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        doing = all[i].name;
        all[i].run();
        printf("%s: done\n", doing);
        fflush(stdout);
    }
}

/* The random operations, on files in two folders, against contents in memory. */
enum { NAMES = 8, FILES = 32, FILE_BYTES = 200000 };

static struct content {
    size_t length, links;
    unsigned char bytes[FILE_BYTES];
} contents[FILES];
static struct content *named[NAMES]; /* NULL: there is no such file */
static struct {
    int fd;
    struct content *content;
} opened;
static uint64_t random_state;

static uint32_t pick(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % below;
}

static const char *name_of(uint32_t number)
{
    static char names[NAMES][8];

    snprintf(names[number], sizeof names[number], "r%u/f%u", number % 2, number);
    return names[number];
}

static struct content *fresh(void)
{
    for (size_t i = 0; i < FILES; i++)
        if (contents[i].links == 0 && opened.content != &contents[i]) {
            contents[i].length = 0;
            contents[i].links = 1;
            return &contents[i];
        }
    fail(__LINE__, "the model has no room");
}

static void compare(int fd, const struct content *content)
{
    static unsigned char found[FILE_BYTES + 1];
    struct stat stat;

    CHECK(fstat(fd, &stat) == 0 && (size_t)stat.st_size == content->length);
    CHECK(pread(fd, found, sizeof found, 0) == (ssize_t)content->length);
    CHECK(memcmp(found, content->bytes, content->length) == 0);
}

static void write_some(int fd, struct content *content, bool is_append)
{
    static unsigned char bytes[20000];
    size_t offset = is_append ? content->length : pick(FILE_BYTES), length = 1 + pick(pick(4) == 0 ? sizeof bytes : 300);

    if (offset + length > FILE_BYTES)
        return;
    memset(bytes, 'a' + (int)pick(26), length);
    bytes[0] = (unsigned char)pick(256);
    CHECK((is_append ? write(fd, bytes, length) : pwrite(fd, bytes, length, (off_t)offset)) == (ssize_t)length);
    if (offset > content->length)
        memset(content->bytes + content->length, 0, offset - content->length);
    memcpy(content->bytes + offset, bytes, length);
    if (offset + length > content->length)
        content->length = offset + length;
}

static void write_mapped(int fd, struct content *content)
{
    size_t offset, length;
    unsigned char *map;

    if (content->length == 0)
        return;
    offset = pick((uint32_t)content->length);
    length = 1 + pick((uint32_t)(content->length - offset));
    if (length > 5000)
        length = 5000;
    map = mmap(NULL, content->length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    CHECK(memcmp(map + offset, content->bytes + offset, length) == 0);
    memset(map + offset, 'A' + (int)pick(26), length);
    memset(content->bytes + offset, map[offset], length);
    CHECK(munmap(map, content->length) == 0);
}

static void cut(int fd, struct content *content)
{
    size_t length = pick(FILE_BYTES);

    CHECK(ftruncate(fd, (off_t)length) == 0);
    if (length > content->length)
        memset(content->bytes + content->length, 0, length - content->length);
    content->length = length;
}

static void one(uint32_t what, uint32_t number)
{
    struct content *content = named[number];
    const char *name = name_of(number);
    int fd;

    if (content == NULL) {
        REFUSED(open(name, O_RDWR), ENOENT);
        fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0644);
        content = named[number] = fresh();
    } else {
        fd = open(name, what % 2 ? O_RDWR : O_RDWR | O_APPEND);
    }
    CHECK(fd >= 0);
    switch (what) {
    case 0: case 2: case 4:
        write_some(fd, content, true);
        break;
    case 1: case 3: case 5: case 7:
        write_some(fd, content, false);
        break;
    case 6:
        compare(fd, content);
        break;
    case 8:
        cut(fd, content);
        break;
    case 9:
        write_mapped(fd, content);
        break;
    case 10: {
        /* Over another name, or none. */
        uint32_t other = pick(NAMES);
        CHECK(rename(name, name_of(other)) == 0);
        if (named[other] == content)
            break;
        if (named[other] != NULL)
            named[other]->links--;
        named[other] = content;
        named[number] = NULL;
        break;
    }
    case 11:
        CHECK(unlink(name) == 0);
        named[number] = NULL;
        content->links--;
        break;
    case 12: {
        uint32_t other = pick(NAMES);
        if (named[other] == NULL) {
            CHECK(link(name, name_of(other)) == 0);
            named[other] = content;
            content->links++;
        } else {
            REFUSED(link(name, name_of(other)), EEXIST);
        }
        break;
    }
    case 13:
        /* It is kept open for a while, whatever becomes of its name. */
        if (opened.content != NULL) {
            compare(opened.fd, opened.content);
            close(opened.fd);
        }
        opened.fd = fd;
        opened.content = content;
        return;
    case 14:
        if (opened.content != NULL) {
            write_some(opened.fd, opened.content, false);
            compare(opened.fd, opened.content);
        }
        break;
    default:
        CHECK(fsync(fd) == 0);
    }
    CHECK(close(fd) == 0);
}

static void random_operations(uint64_t seed, uint32_t count)
{
    random_state = seed * 2 + 1;
    CHECK(mkdir("r0", 0755) == 0 && mkdir("r1", 0755) == 0);
    /* The first name begins as a file of the host. */
    CHECK(truncate("base", FILE_BYTES) == 0 && rename("base", name_of(0)) == 0);
    named[0] = fresh();
    named[0]->length = FILE_BYTES;
    noise(named[0]->bytes, FILE_BYTES);
    for (uint32_t i = 0; i < count; i++) {
        one(pick(16), pick(NAMES));
        if (i % 5000 == 4999)
            drop_caches();
    }
    drop_caches();
    for (uint32_t number = 0; number < NAMES; number++) {
        int fd;
        if (named[number] == NULL)
            continue;
        fd = open(name_of(number), O_RDONLY);
        CHECK(fd >= 0);
        compare(fd, named[number]);
        close(fd);
    }
    printf("%u random operations: done\n", count);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "operations") == 0) {
        operations();
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "random") == 0) {
        doing = "random";
        random_operations(strtoull(argv[2], NULL, 10), (uint32_t)strtoul(argv[3], NULL, 10));
        return 0;
    }
    fprintf(stderr, "usage: workspace operations | workspace random SEED COUNT\n");
    return 2;
}
