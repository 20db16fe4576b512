/* Puts the authority into the trust store. */
#include "authority.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

/* As `openssl x509 -subject_hash` has it: what OpenSSL calls the file in which it looks for an issuer. Authorities have one subject. */
#define SUBJECT_HASH "33e9cc00"

#define CERTIFICATES "/etc/ssl/certs"
#define BUNDLE CERTIFICATES "/ca-certificates.crt"
#define OWN_FILE CERTIFICATES "/" SUBJECT_HASH ".0"

/* Where distributions have all certificates in one file. Some have several of these names for one file. */
static const char *const bundles[] = {
    BUNDLE,
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
};

enum { BUNDLES = sizeof bundles / sizeof *bundles };

static bool write_all(int fd, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, text, bytes);
        if (written <= 0)
            return false;
        text += written;
        bytes -= (size_t)written;
    }
    return true;
}

/* Makes a file with the certificate. */
static void make_file(const char *path, const char *pem, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    if (fd < 0 || !write_all(fd, pem, bytes))
        say("can't write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* Whether one of the files is the one of `status`. */
static bool is_among(const struct stat *files, size_t count, const struct stat *status)
{
    for (size_t i = 0; i < count; i++)
        if (files[i].st_dev == status->st_dev && files[i].st_ino == status->st_ino)
            return true;
    return false;
}

/* Appends the certificate to each bundle that is there, once. */
static void append_to_bundles(const char *pem, size_t bytes)
{
    struct stat done[BUNDLES], status;
    size_t count = 0;

    for (size_t i = 0; i < BUNDLES; i++) {
        int fd;
        if (stat(bundles[i], &status) != 0 || !S_ISREG(status.st_mode))
            continue;
        fd = open(bundles[i], O_WRONLY | O_APPEND | O_CLOEXEC);
        /* The file that is open counts: a container's becomes another one when it is first written to. */
        if (fd >= 0 && fstat(fd, &status) == 0 && !is_among(done, count, &status)) {
            done[count++] = status;
            /* The last line may have no end. */
            if (!write_all(fd, "\n", 1) || !write_all(fd, pem, bytes))
                say("can't write %s: %s", bundles[i], strerror(errno));
        } else if (fd < 0) {
            say("can't write %s: %s", bundles[i], strerror(errno));
        }
        if (fd >= 0)
            close(fd);
    }
}

void authority_trust(const char *pem, size_t bytes)
{
    static const char *const folders[] = { "/etc", "/etc/ssl", CERTIFICATES };
    struct stat status;

    append_to_bundles(pem, bytes);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (mkdir(folders[i], 0755) != 0 && errno != EEXIST)
            say("can't make %s: %s", folders[i], strerror(errno));
    if (lstat(BUNDLE, &status) != 0)
        make_file(BUNDLE, pem, bytes);
    unlink(OWN_FILE);
    make_file(OWN_FILE, pem, bytes);
}

void authority_set_variables(void)
{
    setenv("NODE_EXTRA_CA_CERTS", OWN_FILE, 0);
    setenv("REQUESTS_CA_BUNDLE", BUNDLE, 0);
}
