/* A container: an image's file system, namespaces of its own, and the user whom its command runs as. */
#ifndef REPRISE_CONTAINER_H
#define REPRISE_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * The path of the start file that says that there is a container. It is the first of the start's files, and never becomes
 * one: its contents are texts, each ending with a zero: "hostname=NAME" and "user=USER", of which any may be missing.
 * Unknown ones are passed over. The first disk is the container's root image.
 */
#define CONTAINER_FACTS_PATH "/.reprise-container"

enum {
    CONTAINER_FACTS_BYTES_MAX = 8192,
    CONTAINER_GROUPS_MAX = 255, /* of which a user is a member, beside their own */
};

struct container {
    bool is_there;
    const char *hostname;
    const char *user; /* as in an image's configuration: name or uid, then perhaps a colon and group or gid; empty is root */
    int outside;      /* the root folder of init, while init is inside */
};

/* Whom a command runs as. */
struct container_user {
    uid_t uid;
    gid_t gid;
    size_t group_count;
    gid_t groups[CONTAINER_GROUPS_MAX + 1];
    char home[4096];
};

/*
 * Makes the container's file system of the root image and a writable layer in memory, and makes it init's own root, so
 * that files that come after it are written there, and links in it lead nowhere else. `facts`, which has a zero after
 * its end, has to stay. Returns NULL, or a sentence that says what is wrong.
 */
const char *container_open(struct container *container, char *facts, size_t bytes);

/* Leads init back to its own root. */
void container_step_out(struct container *container);

/*
 * Makes the container's file system this process's root for good, and gives it what a program expects to find mounted.
 * The process must be the first one in namespaces of its own; `terminal` is the path of its terminal, which becomes /dev/console.
 */
const char *container_enter(const struct container *container, const char *terminal);

/* Looks the container's user up in its own /etc/passwd and /etc/group. */
const char *container_find_user(const struct container *container, struct container_user *user);

/* Gives up being root. */
const char *container_become_user(const struct container_user *user);

/* Makes the folder, and all above it, if need be, and makes it the current one. */
bool container_enter_folder(const char *folder);

#endif
