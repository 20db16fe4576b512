/* What the parts of init share. */
#ifndef REPRISE_INIT_H
#define REPRISE_INIT_H

#include <stdbool.h>
#include <stddef.h>

/* Exit statuses with which init itself ends a run. */
enum {
    STATUS_START_INVALID = 125,
    STATUS_NOT_EXECUTABLE = 126,
    STATUS_NOT_FOUND = 127,
};

/* Prints one line for the person at the console. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* Makes the folder if need be and mounts there; says so when that fails. */
void mount_or_say(const char *type, const char *where, unsigned long flags, const char *options);

/* Links /dev/fd and the standard streams, which no file system of the kernel's does. */
void link_standard_streams(void);

/* Finds a virtio disk by its serial and puts its path below /dev into `path`. */
bool find_disk(const char *serial, char *path, size_t bytes);

#endif
