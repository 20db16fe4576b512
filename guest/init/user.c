/* The container's user, by the rules of container engines: what the image's own passwd and group say. */
#include "container.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads a uid or gid. The highest one means "none" to the kernel. */
static bool read_id(const char *text, unsigned int *id)
{
    unsigned long long value;
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || *end != 0 || value >= UINT32_MAX)
        return false;
    *id = (unsigned int)value;
    return true;
}

/* Looks a user up by name or uid. Puts the name that the entry has into `name`, which is empty where there is none. */
static bool find_passwd(const char *wanted, struct container_user *user, char *name, size_t bytes)
{
    FILE *file = fopen("/etc/passwd", "re");
    bool is_number = read_id(wanted, &user->uid), is_found = false;
    struct passwd *entry;

    while (file != NULL && !is_found && (entry = fgetpwent(file)) != NULL) {
        if (strcmp(entry->pw_name, wanted) != 0 && !(is_number && entry->pw_uid == user->uid))
            continue;
        is_found = true;
        user->uid = entry->pw_uid;
        user->gid = entry->pw_gid;
        snprintf(name, bytes, "%s", entry->pw_name);
        if (entry->pw_dir[0] == '/')
            snprintf(user->home, sizeof user->home, "%s", entry->pw_dir);
    }
    if (file != NULL)
        fclose(file);
    return is_found || is_number;
}

/* Looks a group up by name or gid. */
static bool find_group(const char *wanted, gid_t *gid)
{
    FILE *file = fopen("/etc/group", "re");
    bool is_number = read_id(wanted, gid), is_found = false;
    struct group *entry;

    while (file != NULL && !is_found && (entry = fgetgrent(file)) != NULL) {
        is_found = strcmp(entry->gr_name, wanted) == 0;
        if (is_found)
            *gid = entry->gr_gid;
    }
    if (file != NULL)
        fclose(file);
    return is_found || is_number;
}

/* Adds the groups that name the user as a member. */
static void add_groups(const char *name, struct container_user *user)
{
    FILE *file = fopen("/etc/group", "re");
    struct group *entry;

    while (file != NULL && (entry = fgetgrent(file)) != NULL)
        for (char **member = entry->gr_mem; *member != NULL; member++)
            if (strcmp(*member, name) == 0 && user->group_count < CONTAINER_GROUPS_MAX) {
                user->groups[user->group_count++] = entry->gr_gid;
                break;
            }
    if (file != NULL)
        fclose(file);
}

const char *container_find_user(const struct container *container, struct container_user *user)
{
    static char problem[200];
    char wanted[256], name[256] = "";
    char *group;

    memset(user, 0, sizeof *user);
    strcpy(user->home, "/");
    if (strlen(container->user) >= sizeof wanted)
        return "the name of the user is too long";
    strcpy(wanted, container->user);
    group = strchr(wanted, ':');
    if (group != NULL)
        *group++ = 0;
    if (!find_passwd(wanted[0] != 0 ? wanted : "0", user, name, sizeof name)) {
        snprintf(problem, sizeof problem, "the image's /etc/passwd has no user %.100s", wanted);
        return problem;
    }
    if (group != NULL && group[0] != 0) {
        if (!find_group(group, &user->gid)) {
            snprintf(problem, sizeof problem, "the image's /etc/group has no group %.100s", group);
            return problem;
        }
    } else if (name[0] != 0) {
        add_groups(name, user);
    }
    /* The group is one of the groups as well: a file that denies it something still does when the process has changed its group. */
    user->groups[user->group_count++] = user->gid;
    return NULL;
}
