/*
 * The default guest's init: process 1 of every recording.
 *
 * It prepares the system, then waits for the host's start (command, environment, clock, seed, files), which it reads
 * from the start disk. The read blocks in the device until the host delivers the start, so a snapshot taken while init
 * waits serves any number of different starts. Then it runs the command, hands its exit status back to the host
 * through the same disk, and switches the machine off.
 *
 * The start disk is a virtio-blk device whose serial is "reprise-start". All numbers are little-endian.
 *
 *   sector 0     written by init at the end:  "RPEXIT01", i32 status, zeros
 *   1 MiB        read by init:                "RPSTART1", u64 payload bytes, payload
 *
 * The payload is a sequence of records, each of them u32 tag, u32 zero, u64 length, then that many bytes, padded with
 * zeros to a multiple of 8. start.h lists the tags. Unknown tags are skipped, so that an old guest accepts what a newer
 * host has to say.
 *
 * A start that breaks these rules ends the run with status 125; a command that can't be run ends it with 126 (there,
 * but not executable) or 127 (not there), as in a shell.
 *
 * If the start says that there is a container (container.h), its command runs in that: process 1 of the container is a
 * copy of this program, which waits for the command as init does without a container, so that a command ends by
 * the same signals and with the same status in both.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "authority.h"
#include "container.h"
#include "init.h"
#include "network.h"
#include "start.h"

/* The terminal that the command runs on, as a path below /dev. */
static char terminal_path[64] = "/dev/console";

void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    dprintf(STDERR_FILENO, "init: ");
    vdprintf(STDERR_FILENO, format, arguments);
    dprintf(STDERR_FILENO, "\n");
    va_end(arguments);
}

void mount_or_say(const char *type, const char *where, unsigned long flags, const char *options)
{
    if (mkdir(where, 0755) != 0 && errno != EEXIST)
        say("can't make %s: %s", where, strerror(errno));
    if (mount(type, where, type, flags, options) != 0)
        say("can't mount %s on %s: %s", type, where, strerror(errno));
}

void link_standard_streams(void)
{
    if (symlink("/proc/self/fd", "/dev/fd") != 0 || symlink("/proc/self/fd/0", "/dev/stdin") != 0 ||
        symlink("/proc/self/fd/1", "/dev/stdout") != 0 || symlink("/proc/self/fd/2", "/dev/stderr") != 0)
        say("can't link /dev/fd: %s", strerror(errno));
}

static void mount_file_systems(void)
{
    mount_or_say("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
    mount_or_say("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_or_say("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_or_say("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666");
    mount_or_say("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
    mount_or_say("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
    mount_or_say("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
    /* Shells use /dev/fd for process substitution. */
    link_standard_streams();
}

/* Reads a small text file into a buffer, without its last newline. Returns its length, or -1. */
static ssize_t read_line_file(const char *path, char *buffer, size_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length;

    if (fd < 0)
        return -1;
    length = read(fd, buffer, bytes - 1);
    close(fd);
    if (length < 0)
        return -1;
    while (length > 0 && buffer[length - 1] == '\n')
        length--;
    buffer[length] = 0;
    return length;
}

/*
 * Opens the console's terminal: what the kernel writes its messages to, which is the last word in
 * /sys/class/tty/console/active, else the virtio console, else the UART.
 */
static int open_terminal_once(void)
{
    char active[128];
    const char *names[] = { NULL, "hvc0", "ttyS0" };

    if (read_line_file("/sys/class/tty/console/active", active, sizeof active) > 0) {
        char *space = strrchr(active, ' ');
        names[0] = space ? space + 1 : active;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int fd;
        if (names[i] == NULL || strlen(names[i]) > 32)
            continue;
        snprintf(terminal_path, sizeof terminal_path, "/dev/%s", names[i]);
        fd = open(terminal_path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (fd >= 0)
            return fd;
    }
    return -1;
}

static void use_as_standard_streams(int fd)
{
    if (fd < 0)
        return;
    dup2(fd, STDIN_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* Makes the console's terminal this process's standard input and output. */
static void open_terminal(void)
{
    /* A console with several ports registers itself a moment after its driver; a second is far more than it needs. */
    const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
    int fd = open_terminal_once();

    for (int tries = 0; fd < 0 && tries < 100; tries++) {
        nanosleep(&pause, NULL);
        fd = open_terminal_once();
    }
    if (fd < 0)
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    use_as_standard_streams(fd);
}

/* Sets the terminal's size and modes as the host's terminal record says. */
static void set_terminal(const struct start *start)
{
    struct winsize size = { .ws_col = start->columns, .ws_row = start->rows };
    struct termios modes;

    if (start->columns != 0 && start->rows != 0)
        ioctl(STDIN_FILENO, TIOCSWINSZ, &size);
    if (tcgetattr(STDIN_FILENO, &modes) != 0)
        return;
    /* So that erasing a character erases all its bytes. */
    modes.c_iflag |= IUTF8;
    /* Nobody types: what comes in is a file's bytes, and showing them again would mix them into the output. */
    if (!(start->terminal_flags & TERMINAL_INTERACTIVE))
        modes.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE);
    if (start->terminal_flags & TERMINAL_OUTPUT_AS_WRITTEN)
        modes.c_oflag &= ~(tcflag_t)OPOST;
    tcsetattr(STDIN_FILENO, TCSANOW, &modes);
}

bool find_disk(const char *serial, char *path, size_t bytes)
{
    DIR *disks = opendir("/sys/block");
    struct dirent *disk;
    bool is_found = false;

    if (disks == NULL)
        return false;
    while (!is_found && (disk = readdir(disks)) != NULL) {
        char serial_path[300], found[64];
        if (strncmp(disk->d_name, "vd", 2) != 0)
            continue;
        snprintf(serial_path, sizeof serial_path, "/sys/block/%s/serial", disk->d_name);
        is_found = read_line_file(serial_path, found, sizeof found) >= 0 && strcmp(found, serial) == 0;
        if (is_found)
            snprintf(path, bytes, "/dev/%s", disk->d_name);
    }
    closedir(disks);
    return is_found;
}

/* Opens the start disk for O_DIRECT access. Returns a descriptor, or -1 when there is none. */
static int open_start_disk(void)
{
    char path[300];
    int fd;

    if (!find_disk("reprise-start", path, sizeof path))
        return -1;
    fd = open(path, O_RDWR | O_DIRECT | O_SYNC | O_CLOEXEC);
    if (fd < 0)
        say("can't open the start disk %s: %s", path, strerror(errno));
    return fd;
}

/* Says why the command can't be run. Returns the exit status. */
static int explain_command(const char *command, int error)
{
    if (error == ENOENT && strchr(command, '/') != NULL && access(command, F_OK) == 0)
        say("can't run %s: it needs an interpreter or a loader that is not there", command);
    else
        say("can't run %s: %s", command, strerror(error));
    return error == ENOENT || error == ENOTDIR ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

/* Gives the command's process the environment and the working folder that a container's first process has, then its user. */
static _Noreturn void become_container_command(const struct start *start)
{
    static struct container_user user;
    const char *problem = container_find_user(&start->container, &user);
    const char *folder = start->directory ? start->directory : "/";

    clearenv();
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("HOSTNAME", start->container.hostname, 1);
    setenv("HOME", user.home, 1);
    for (size_t i = 0; i < start->environment_count; i++)
        putenv(start->environment[i]);
    if (start->has_authority)
        authority_set_variables();
    if (problem == NULL && !container_enter_folder(folder)) {
        say("can't enter %s: %s", folder, strerror(errno));
        _exit(STATUS_START_INVALID);
    }
    if (problem == NULL)
        problem = container_become_user(&user);
    if (problem != NULL) {
        say("%s", problem);
        _exit(STATUS_START_INVALID);
    }
    execvp(start->arguments[0], start->arguments);
    _exit(explain_command(start->arguments[0], errno));
}

/* Runs in the child: gives it a session and terminal of its own, then becomes the command. */
static _Noreturn void become_command(const struct start *start)
{
    static char *const shell[] = { "sh", "-l", NULL };
    char *const *arguments = start->argument_count > 0 ? start->arguments : shell;
    sigset_t none;
    int fd;

    setsid();
    fd = open(terminal_path, O_RDWR);
    if (fd >= 0)
        ioctl(fd, TIOCSCTTY, 1);
    use_as_standard_streams(fd);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (start->container.is_there)
        become_container_command(start);
    for (size_t i = 0; i < start->environment_count; i++)
        putenv(start->environment[i]);
    if (start->has_authority)
        authority_set_variables();
    if (chdir(start->directory ? start->directory : getenv("HOME")) != 0) {
        say("can't enter %s: %s", start->directory ? start->directory : "HOME", strerror(errno));
        _exit(STATUS_START_INVALID);
    }
    execvp(arguments[0], arguments);
    _exit(explain_command(arguments[0], errno));
}

/* A welcome for the person who is about to get a shell. */
static void print_welcome(void)
{
    char text[1024];
    int fd = open("/etc/motd", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text);

    if (fd >= 0)
        close(fd);
    if (length > 0 && write(STDOUT_FILENO, text, (size_t)length) != length)
        say("can't write to the console: %s", strerror(errno));
}

/*
 * Waits until the command has ended, burying every orphan on the way, or until `poweroff`, `halt` or `reboot` sent
 * its signal. Returns the exit status for the host and says in *how what to do with the machine.
 */
static int wait_for_end(pid_t command, const sigset_t *signals, int *how)
{
    for (;;) {
        int status, signal_number = sigwaitinfo(signals, NULL);
        pid_t pid;

        if (signal_number == SIGUSR1 || signal_number == SIGUSR2)
            return 0;
        if (signal_number == SIGTERM) {
            *how = RB_AUTOBOOT;
            return 0;
        }
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
            if (pid != command)
                continue;
            /* The end of the session has hung up its terminal, for this process as well. */
            use_as_standard_streams(open(terminal_path, O_RDWR | O_NOCTTY | O_CLOEXEC));
            if (WIFEXITED(status))
                return WEXITSTATUS(status);
            say("the command was ended by a signal: %s", strsignal(WTERMSIG(status)));
            return 128 + WTERMSIG(status);
        }
    }
}

/* Starts the command. Returns its process, or -1. */
static pid_t start_command(const struct start *start)
{
    pid_t command = fork();

    if (command == 0)
        become_command(start);
    if (command < 0)
        say("can't start a process: %s", strerror(errno));
    return command;
}

/* Process 1 of the container: starts the command there, and ends as it does. */
static _Noreturn void become_container(const struct start *start, const sigset_t *signals)
{
    const char *problem = container_enter(&start->container, terminal_path);
    pid_t command;
    int how;

    if (problem != NULL) {
        say("%s", problem);
        _exit(STATUS_START_INVALID);
    }
    strcpy(terminal_path, "/dev/console");
    command = start_command(start);
    _exit(command < 0 ? STATUS_START_INVALID : wait_for_end(command, signals, &how));
}

/* Starts the container. Returns its first process, or -1. */
static pid_t start_container(const struct start *start, const sigset_t *signals)
{
    pid_t first = -1;

    /* Of this process only the children are in the new namespace. */
    if (unshare(CLONE_NEWPID) == 0)
        first = fork();
    if (first == 0)
        become_container(start, signals);
    if (first < 0)
        say("can't start the container: %s", strerror(errno));
    return first;
}

/* Hands the exit status to the host. */
static void write_exit_status(int disk, int status)
{
    static _Alignas(4096) unsigned char sector[512];
    uint32_t value = (uint32_t)status;

    memcpy(sector, "RPEXIT01", 8);
    memcpy(sector + 8, &value, sizeof value);
    if (pwrite(disk, sector, sizeof sector, 0) != (ssize_t)sizeof sector)
        say("can't tell the host the exit status %d: %s", status, strerror(errno));
}

static _Noreturn void switch_off(int disk, int status, int how)
{
    /* What is still in the terminal's queue has to reach the console before the machine goes away. */
    tcdrain(STDOUT_FILENO);
    kill(-1, SIGKILL);
    sync();
    if (disk >= 0)
        write_exit_status(disk, status);
    reboot(how);
    for (;;)
        pause();
}

int main(void)
{
    static struct start start;
    int how = RB_POWER_OFF, disk;
    sigset_t signals;
    pid_t command;

    umask(022);
    mount_file_systems();
    open_terminal();
    if (sethostname("reprise", 7) != 0)
        say("can't set the host's name: %s", strerror(errno));
    network_bring_up();
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/demos:/bench", 1);
    setenv("HOME", "/root", 1);
    setenv("TERM", "linux", 1);

    disk = open_start_disk();
    start.terminal_flags = TERMINAL_INTERACTIVE;
    if (disk >= 0) {
        const char *problem = read_start(disk, &start);
        if (problem != NULL) {
            say("the start is not valid: %s", problem);
            switch_off(disk, STATUS_START_INVALID, how);
        }
        if (start.container.is_there)
            container_step_out(&start.container);
        set_terminal(&start);
    }

    /* Blocked before the fork, so that no end of a child can be missed. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    if (start.argument_count == 0)
        print_welcome();
    command = start.container.is_there ? start_container(&start, &signals) : start_command(&start);
    if (command < 0)
        switch_off(disk, STATUS_START_INVALID, how);
    int status = wait_for_end(command, &signals, &how);
    switch_off(disk, status, how);
}
