/* Stands between a program and its disk (LD_PRELOAD), for the files under one folder.
 *
 *   DISK_UNDER=DIR            the folder
 *   DISK_FAIL_SYNC=N          every fsync and fdatasync from the N-th on fails with EIO
 *   DISK_FAIL_ONLY=TEXT       ... of files whose path holds this text
 *   DISK_SLOW_SYNC=MS         every fsync and fdatasync takes so many milliseconds longer
 *   DISK_JOURNAL=FILE         writes down every change and sync, for powercut.py
 *
 * A record of the journal: op (1 byte), length of the path (u32), path, offset (u64), length (u64), data.
 * Zeros are written down by their length alone. All numbers are little endian.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char under[4096];
static int journal = -1;
static long fail_from = -1, slow_ms, syncs;
static const char *fail_only;

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("DISK_UNDER");
    if (!text || !realpath(text, under)) return;
    if ((text = getenv("DISK_FAIL_SYNC"))) fail_from = atol(text);
    fail_only = getenv("DISK_FAIL_ONLY");
    if ((text = getenv("DISK_SLOW_SYNC"))) slow_ms = atol(text);
    if ((text = getenv("DISK_JOURNAL")))
        journal = syscall(SYS_openat, AT_FDCWD, text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The path below the folder, or NULL. */
static const char *inside(const char *path) {
    size_t length = strlen(under);
    if (!length || strncmp(path, under, length)) return NULL;
    return path[length] == '/' ? path + length + 1 : path[length] ? NULL : path + length;
}

static const char *of_fd(int fd, char *into) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, into, 4095);
    if (length < 0) return NULL;
    into[length] = 0;
    char *gone = strstr(into, " (deleted)");
    if (gone) *gone = 0;
    return inside(into);
}

static const char *of_path(const char *path, char *into) {
    if (path[0] != '/') {
        char here[2048];
        if (!getcwd(here, sizeof here)) return NULL;
        snprintf(into, 4096, "%s/%s", here, path);
        return inside(into);
    }
    return inside(path);
}

static int all_zero(const char *data, size_t length) {
    return length == 0 || (data[0] == 0 && !memcmp(data, data + 1, length - 1));
}

/* One write: whole or not at all when the program is killed. */
static void note(char op, const char *path, uint64_t offset, const void *data, uint64_t length) {
    if (journal < 0) return;
    if (op == 'w' && all_zero(data, length)) op = 'z';
    uint32_t name = strlen(path);
    size_t body = op == 'w' || op == 'r' ? length : 0, total = 1 + 4 + name + 16 + body;
    char *record = malloc(total), *at = record;
    *at++ = op;
    memcpy(at, &name, 4), at += 4;
    memcpy(at, path, name), at += name;
    memcpy(at, &offset, 8), at += 8;
    memcpy(at, &length, 8), at += 8;
    if (body) memcpy(at, data, body);
    if (syscall(SYS_write, journal, record, total) != (ssize_t)total) abort();
    free(record);
}

#define REAL(name, type, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

static int sync_of(int fd, int (*real)(int)) {
    char buffer[4096];
    const char *path = of_fd(fd, buffer);
    if (!path) return real(fd);
    pthread_mutex_lock(&lock);
    int fails = fail_from >= 0 && (!fail_only || strstr(path, fail_only)) && ++syncs >= fail_from;
    pthread_mutex_unlock(&lock);
    if (fails) return errno = EIO, -1;
    if (slow_ms > 0) usleep(slow_ms * 1000);
    int result = real(fd);
    pthread_mutex_lock(&lock);
    if (!result) note('s', path, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int fsync(int fd) { return sync_of(fd, REAL(fsync, int, int)); }
int fdatasync(int fd) { return sync_of(fd, REAL(fdatasync, int, int)); }

/* The journal is written first, under the lock: a change that was made is in it, in order. */
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    char buffer[4096];
    const char *path = of_fd(fd, buffer);
    if (!path) return REAL(pwrite64, ssize_t, int, const void *, size_t, off64_t)(fd, data, length, offset);
    pthread_mutex_lock(&lock);
    note('w', path, offset, data, length);
    ssize_t result = REAL(pwrite64, ssize_t, int, const void *, size_t, off64_t)(fd, data, length, offset);
    pthread_mutex_unlock(&lock);
    return result;
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

int ftruncate64(int fd, off64_t length) {
    char buffer[4096];
    const char *path = of_fd(fd, buffer);
    pthread_mutex_lock(&lock);
    if (path) note('t', path, 0, NULL, length);
    int result = REAL(ftruncate64, int, int, off64_t)(fd, length);
    pthread_mutex_unlock(&lock);
    return result;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int rename(const char *from, const char *to) {
    char a[4096], b[4096];
    const char *x = of_path(from, a), *y = of_path(to, b);
    pthread_mutex_lock(&lock);
    if (x && y) note('r', x, 0, y, strlen(y));
    int result = REAL(rename, int, const char *, const char *)(from, to);
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) {
    char buffer[4096];
    const char *x = of_path(path, buffer);
    pthread_mutex_lock(&lock);
    int result = REAL(unlink, int, const char *)(path);
    if (x && !result) note('u', x, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    char buffer[4096];
    const char *x = of_path(path, buffer);
    pthread_mutex_lock(&lock);
    int result = REAL(mkdir, int, const char *, mode_t)(path, mode);
    if (x && !result) note('m', x, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    char buffer[4096];
    const char *x = flags & O_CREAT ? of_path(path, buffer) : NULL;
    pthread_mutex_lock(&lock);
    int was = x && !access(path, F_OK);
    int result = REAL(open64, int, const char *, int, ...)(path, flags, mode);
    if (x && !was && result >= 0) note('c', x, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open64(path, flags, mode);
}
