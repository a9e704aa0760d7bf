/* Makes the N-th file operation below a folder the last one, or a failing one.
 *
 * Preloaded into the program. FAULT_FOLDER is the folder, an absolute path; FAULT_AT counts from 1;
 * FAULT_ERROR is the number of an error, or 0 to be killed; to FAULT_LOG a byte is written for each
 * operation. A write that is the last one is done by half. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FILES 65536

static const char *folder;
static long at, failure;
static int log_file = -1;
static atomic_long n_done;
static atomic_char is_below[MAX_FILES];

__attribute__((constructor)) static void start(void) {
    folder = getenv("FAULT_FOLDER");
    const char *number = getenv("FAULT_AT"), *error = getenv("FAULT_ERROR"), *path = getenv("FAULT_LOG");
    at = number ? atol(number) : 0;
    failure = error ? atol(error) : 0;
    if (path) log_file = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

/* The program is started in the folder, so that relative paths are below it. */
static int below(const char *path) {
    return folder && path && (path[0] != '/' || strncmp(path, folder, strlen(folder)) == 0);
}

static int tracked(int file) {
    return file >= 0 && file < MAX_FILES && is_below[file];
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* Whether this operation is the one: 0 no, 1 kill, -1 fail with errno set. */
static int is_the_one(void) {
    if (log_file >= 0) syscall(SYS_write, log_file, ".", 1);
    if (atomic_fetch_add(&n_done, 1) + 1 != at) return 0;
    if (!failure) return 1;
    errno = (int)failure;
    return -1;
}

#define CHECK(applies)                     \
    if (applies) {                         \
        int one = is_the_one();            \
        if (one > 0) die();                \
        if (one < 0) return -1;            \
    }
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int opened(int file, int here) {
    if (file >= 0 && file < MAX_FILES) is_below[file] = here;
    return file;
}

#define WRITES(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & (O_CREAT | O_TRUNC)))
#define MODE(flags)                                     \
    mode_t mode = 0;                                    \
    if ((flags) & (O_CREAT | O_TMPFILE)) {              \
        va_list rest;                                   \
        va_start(rest, flags);                          \
        mode = va_arg(rest, mode_t);                    \
        va_end(rest);                                   \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    int here = below(path);
    CHECK(here && WRITES(flags))
    return opened(REAL(open)(path, flags, mode), here);
}
int open64(const char *path, int flags, ...) {
    MODE(flags)
    int here = below(path);
    CHECK(here && WRITES(flags))
    return opened(REAL(open64)(path, flags, mode), here);
}
int openat(int dir, const char *path, int flags, ...) {
    MODE(flags)
    int here = dir == AT_FDCWD || path[0] == '/' ? below(path) : tracked(dir);
    CHECK(here && WRITES(flags))
    return opened(REAL(openat)(dir, path, flags, mode), here);
}
int openat64(int dir, const char *path, int flags, ...) {
    MODE(flags)
    int here = dir == AT_FDCWD || path[0] == '/' ? below(path) : tracked(dir);
    CHECK(here && WRITES(flags))
    return opened(REAL(openat64)(dir, path, flags, mode), here);
}
int close(int file) {
    if (file >= 0 && file < MAX_FILES) is_below[file] = 0;
    return REAL(close)(file);
}
ssize_t write(int file, const void *bytes, size_t n) {
    if (tracked(file)) {
        int one = is_the_one();
        if (one > 0) {
            REAL(write)(file, bytes, n / 2);
            die();
        }
        if (one < 0) return -1;
    }
    return REAL(write)(file, bytes, n);
}
ssize_t writev(int file, const struct iovec *parts, int n) {
    CHECK(tracked(file))
    return REAL(writev)(file, parts, n);
}
ssize_t pwrite64(int file, const void *bytes, size_t n, off64_t offset) {
    CHECK(tracked(file))
    return REAL(pwrite64)(file, bytes, n, offset);
}
int fsync(int file) {
    CHECK(tracked(file))
    return REAL(fsync)(file);
}
int fdatasync(int file) {
    CHECK(tracked(file))
    return REAL(fdatasync)(file);
}
int ftruncate(int file, off_t length) {
    CHECK(tracked(file))
    return REAL(ftruncate)(file, length);
}
int ftruncate64(int file, off64_t length) {
    CHECK(tracked(file))
    return REAL(ftruncate64)(file, length);
}
int rename(const char *from, const char *to) {
    CHECK(below(from) || below(to))
    return REAL(rename)(from, to);
}
int renameat(int dir, const char *from, int into, const char *to) {
    CHECK(below(from) || below(to) || tracked(dir) || tracked(into))
    return REAL(renameat)(dir, from, into, to);
}
int unlink(const char *path) {
    CHECK(below(path))
    return REAL(unlink)(path);
}
int unlinkat(int dir, const char *path, int flags) {
    CHECK(below(path) || tracked(dir))
    return REAL(unlinkat)(dir, path, flags);
}
int rmdir(const char *path) {
    CHECK(below(path))
    return REAL(rmdir)(path);
}
int mkdir(const char *path, mode_t mode) {
    CHECK(below(path))
    return REAL(mkdir)(path, mode);
}
