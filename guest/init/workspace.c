/* Mounts the workspace. */
#include "workspace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define WORKSPACE "/workspace"

/*
 * The machine is the only client, so what it has read or written once it may keep (cache=loose), which also makes mmap work as on a
 * disk. Messages are as large as Linux's transport makes them.
 */
#define OPTIONS "trans=virtio,version=9p2000.L,cache=loose,msize=512000"

const char *workspace_mount(bool is_read_only)
{
    static char problem[200];

    if ((mkdir(WORKSPACE, 0755) == 0 || errno == EEXIST) &&
        mount("workspace", WORKSPACE, "9p", MS_NOSUID | MS_NODEV | (is_read_only ? MS_RDONLY : 0), OPTIONS) == 0)
        return NULL;
    snprintf(problem, sizeof problem, "can't mount the workspace: %s", strerror(errno));
    return problem;
}
