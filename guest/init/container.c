/* The container's file system and namespaces. container.h describes what the host says of it. */
#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "init.h"
#include "network.h"

/* The serial of the machine's first disk. */
#define ROOT_DISK_SERIAL "reprise-disk0"

/* In init's own file system. The layer is on a file system of its own, so that it is bounded by half of the RAM. */
#define IMAGE "/container/image"
#define LAYER "/container/layer"
#define UPPER LAYER "/upper"
#define WORK LAYER "/work"
#define ROOT "/container/root"

/* Makes a sentence out of what went wrong and errno. */
__attribute__((format(printf, 1, 2))) static const char *problem(const char *format, ...)
{
    static char text[400];
    int error = errno;
    va_list arguments;
    size_t length;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    length = strlen(text);
    snprintf(text + length, sizeof text - length, ": %s", strerror(error));
    return text;
}

static void read_facts(struct container *container, char *facts, size_t bytes)
{
    for (char *fact = facts; fact < facts + bytes; fact += strlen(fact) + 1) {
        if (strncmp(fact, "hostname=", 9) == 0)
            container->hostname = fact + 9;
        else if (strncmp(fact, "user=", 5) == 0)
            container->user = fact + 5;
    }
}

/* The root of the overlay has the owner, mode and time of its upper layer, not those of the image. */
static bool copy_root_attributes(void)
{
    struct stat image;

    if (stat(IMAGE, &image) != 0)
        return false;
    struct timespec times[] = { image.st_atim, image.st_mtim };
    return chown(UPPER, image.st_uid, image.st_gid) == 0 && chmod(UPPER, image.st_mode & 07777) == 0 &&
           utimensat(AT_FDCWD, UPPER, times, 0) == 0;
}

/* Replaces a file by one with this text; images leave these files to whatever runs the container. */
static void write_text(const char *path, const char *text)
{
    int fd;

    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        say("can't write %s in the container: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

static void write_names(const char *hostname)
{
    char text[512];

    if (mkdir("/etc", 0755) != 0 && errno != EEXIST)
        say("can't make /etc in the container: %s", strerror(errno));
    snprintf(text, sizeof text, "%s\n", hostname);
    write_text("/etc/hostname", text);
    snprintf(text, sizeof text, "127.0.0.1 localhost %s\n::1 localhost\n", hostname);
    write_text("/etc/hosts", text);
    network_write_name_server();
}

const char *container_open(struct container *container, char *facts, size_t bytes)
{
    char disk[64];

    container->hostname = "reprise";
    container->user = "";
    read_facts(container, facts, bytes);
    if (!find_disk(ROOT_DISK_SERIAL, disk, sizeof disk))
        return "there is no disk with the container's root image";
    if (mkdir("/container", 0700) != 0 || mkdir(IMAGE, 0755) != 0 || mkdir(LAYER, 0755) != 0 || mkdir(ROOT, 0755) != 0)
        return problem("can't make folders for the container");
    if (mount(disk, IMAGE, "erofs", MS_RDONLY, NULL) != 0)
        return problem("can't mount the container's root image");
    if (mount("tmpfs", LAYER, "tmpfs", 0, "mode=0755") != 0 || mkdir(UPPER, 0755) != 0 || mkdir(WORK, 0755) != 0 ||
        !copy_root_attributes())
        return problem("can't make the container's writable layer");
    if (mount("overlay", ROOT, "overlay", 0, "lowerdir=" IMAGE ",upperdir=" UPPER ",workdir=" WORK) != 0)
        return problem("can't lay the container's writable layer over its root image");
    container->outside = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (container->outside < 0 || chdir(ROOT) != 0 || chroot(".") != 0)
        return problem("can't enter the container's root");
    container->is_there = true;
    write_names(container->hostname);
    return NULL;
}

void container_step_out(struct container *container)
{
    if (fchdir(container->outside) != 0 || chroot(".") != 0)
        say("can't leave the container's root: %s", strerror(errno));
    close(container->outside);
}

static void make_device(const char *path, mode_t mode, dev_t device)
{
    if (mknod(path, S_IFCHR | mode, device) != 0 || chmod(path, mode) != 0)
        say("can't make %s: %s", path, strerror(errno));
}

/* Fills /dev with the devices of the OCI Runtime Specification 1.1 (config-linux, default devices). */
static void make_devices(dev_t console)
{
    mount_or_say("tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=0755,size=65536k");
    make_device("/dev/null", 0666, makedev(1, 3));
    make_device("/dev/zero", 0666, makedev(1, 5));
    make_device("/dev/full", 0666, makedev(1, 7));
    make_device("/dev/random", 0666, makedev(1, 8));
    make_device("/dev/urandom", 0666, makedev(1, 9));
    make_device("/dev/tty", 0666, makedev(5, 0));
    make_device("/dev/console", 0620, console);
    mount_or_say("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,mode=0620,gid=5,ptmxmode=0666");
    mount_or_say("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777");
    mount_or_say("mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    if (symlink("pts/ptmx", "/dev/ptmx") != 0)
        say("can't link /dev/ptmx: %s", strerror(errno));
    link_standard_streams();
}

const char *container_enter(const struct container *container, const char *terminal)
{
    static const char *const outer[] = { "/dev", "/proc", "/sys", "/run", "/tmp" };
    struct stat console;

    if (stat(terminal, &console) != 0)
        return problem("can't find the terminal %s", terminal);
    if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC) != 0)
        return problem("can't make the container's namespaces");
    for (size_t i = 0; i < sizeof outer / sizeof *outer; i++)
        if (umount2(outer[i], MNT_DETACH) != 0)
            return problem("can't leave %s out of the container", outer[i]);
    /* The kernel's initial file system can't be pivoted away from; what covers its root hides it as well. */
    if (chdir(ROOT) != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0 || chdir("/") != 0)
        return problem("can't make the container's file system the root");
    /* From here on, all paths are the container's. */
    mount_or_say("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_or_say("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
    make_devices(console.st_rdev);
    if (sethostname(container->hostname, strlen(container->hostname)) != 0)
        return problem("can't set the container's host name");
    return NULL;
}

const char *container_become_user(const struct container_user *user)
{
    /* So that it can open its own standard streams by name; those that are no terminal are nobody's. */
    if (isatty(STDIN_FILENO) && fchown(STDIN_FILENO, user->uid, (gid_t)-1) != 0)
        say("can't hand the terminal over: %s", strerror(errno));
    if (setgroups(user->group_count, user->groups) != 0 || setgid(user->gid) != 0 || setuid(user->uid) != 0)
        return problem("can't become the container's user");
    return NULL;
}

bool container_enter_folder(const char *folder)
{
    char path[4096];

    if (chdir(folder) == 0)
        return true;
    if (errno != ENOENT || strlen(folder) >= sizeof path)
        return false;
    strcpy(path, folder);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        int made;
        *slash = 0;
        made = mkdir(path, 0755);
        *slash = '/';
        if (made != 0 && errno != EEXIST)
            return false;
    }
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return false;
    return chdir(path) == 0;
}
