/* The workspace: a folder of the host, which the host's 9P device has. */
#ifndef REPRISE_WORKSPACE_H
#define REPRISE_WORKSPACE_H

#include <stdbool.h>

/*
 * The path of the start file that says that there is a workspace. It comes after that of the container, so that the
 * workspace is mounted there, and never becomes a file: its contents are "rw" or "ro" and a zero.
 */
#define WORKSPACE_FACTS_PATH "/.reprise-workspace"

enum { WORKSPACE_FACTS_BYTES_MAX = 64 };

/* Mounts the workspace at /workspace. Returns NULL, or a sentence that says what is wrong. */
const char *workspace_mount(bool is_read_only);

#endif
