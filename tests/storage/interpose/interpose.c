// Writes down, in order, every call by which a process changes files below one directory, so that what a power cut would
// have left can be rebuilt afterwards. Preloaded into the process (LD_PRELOAD).
//
//   PPU_INTERPOSE_ROOT   the directory, absolute, without links
//   PPU_INTERPOSE_TRACE  the file that gets the calls
//
// A call is written down after it has succeeded and before its caller goes on: at a kill in between, the trace lacks a call
// whose success nobody knows of. One record: operation, inode, offset, length (u8, u64, u64, u64, native byte order), then
// the lengths of two paths and of data (3 x u32), then these three. A call below the root that is not modelled is written
// down as '!', and the reader of the trace refuses it.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_FILES 65536

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static unsigned char watched[MOST_FILES];
static int trace = -2;
static char root[PATH_MAX];
static size_t root_length;

static void give_up(const char *why) {
    dprintf(2, "interpose: %s: %s\n", why, strerror(errno));
    abort();
}

// The trace must not pass through the functions below, so it uses the system calls themselves.
static void begin(void) {
    const char *below = getenv("PPU_INTERPOSE_ROOT"), *path = getenv("PPU_INTERPOSE_TRACE");
    if (!below || !path) {
        trace = -1;
        return;
    }
    root_length = strlen(below);
    if (root_length >= sizeof root) give_up("the root is too long");
    memcpy(root, below, root_length + 1);
    trace = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (trace < 0) give_up("the trace cannot be opened");
}

static void lock(void) {
    pthread_mutex_lock(&order);
    if (trace == -2) begin();
}

static void unlock(void) {
    int error = errno;
    pthread_mutex_unlock(&order);
    errno = error;
}

static int is_watched(int file) { return trace >= 0 && file >= 0 && file < MOST_FILES && watched[file]; }

static int is_below(const char *path) {
    return trace >= 0 && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

static void note(char operation, uint64_t inode, uint64_t offset, uint64_t length, const char *path, const char *other,
                 const void *data, size_t data_length) {
    char head[1 + 3 * 8 + 3 * 4];
    uint32_t lengths[3] = {path ? strlen(path) : 0, other ? strlen(other) : 0, data_length};
    head[0] = operation;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &length, 8);
    memcpy(head + 25, lengths, 12);
    struct iovec parts[4] = {{head, sizeof head}, {(void *)path, lengths[0]}, {(void *)other, lengths[1]}, {(void *)data, lengths[2]}};
    size_t whole = sizeof head + (size_t)lengths[0] + lengths[1] + lengths[2];
    if (syscall(SYS_writev, trace, parts, 4) != (long)whole) give_up("the trace cannot be written");
}

static uint64_t inode_of(int file) {
    struct stat found;
    if (fstat(file, &found) != 0) give_up("a file cannot be looked at");
    return found.st_ino;
}

static int is_zero(const char *bytes, size_t count) {
    return count == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0);
}

static void note_write(int file, const void *bytes, size_t count, uint64_t offset) {
    if (is_zero(bytes, count))
        note('Z', inode_of(file), offset, count, NULL, NULL, NULL, 0);
    else
        note('W', inode_of(file), offset, count, NULL, NULL, bytes, count);
}

static void absolute(int directory, const char *path, char *into) {
    char base[PATH_MAX] = "";
    if (path[0] != '/') {
        if (directory == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) give_up("the working directory cannot be told");
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
            ssize_t length = readlink(link, base, sizeof base - 1);
            if (length < 0) give_up("a directory cannot be told");
            base[length] = 0;
        }
    }
    if (snprintf(into, PATH_MAX, "%s%s%s", base, base[0] ? "/" : "", path) >= PATH_MAX) give_up("a path is too long");
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int open_noted(int directory, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    struct stat before;
    lock();
    absolute(directory, path, whole);
    int below = is_below(whole), existed = below && stat(whole, &before) == 0;
    int file = (int)syscall(SYS_openat, directory, path, flags, mode);
    if (file >= MOST_FILES) give_up("too many files");
    if (file >= 0) watched[file] = (unsigned char)below;
    if (file >= 0 && below) {
        if (flags & (O_DSYNC | O_TMPFILE)) note('!', 0, 0, 0, whole, "open with O_DSYNC or O_TMPFILE", NULL, 0);
        if (!existed)
            note('C', inode_of(file), 0, 0, whole, NULL, NULL, 0);
        else if (flags & O_TRUNC)
            note('T', inode_of(file), 0, 0, NULL, NULL, NULL, 0);
    }
    unlock();
    return file;
}

#define MODE                        \
    mode_t mode = 0;                \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest;               \
        va_start(rest, flags);      \
        mode = va_arg(rest, mode_t); \
        va_end(rest);               \
    }

int open(const char *path, int flags, ...) { MODE return open_noted(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return open_noted(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int directory, const char *path, int flags, ...) { MODE return open_noted(directory, path, flags, mode); }
int openat64(int directory, const char *path, int flags, ...) { MODE return open_noted(directory, path, flags | O_LARGEFILE, mode); }
int creat(const char *path, mode_t mode) { return open_noted(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int file) {
    lock();
    if (file >= 0 && file < MOST_FILES) watched[file] = 0;
    int result = (int)syscall(SYS_close, file);
    unlock();
    return result;
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    lock();
    ssize_t written = syscall(SYS_pwrite64, file, bytes, count, offset);
    if (written > 0 && is_watched(file)) note_write(file, bytes, (size_t)written, (uint64_t)offset);
    unlock();
    return written;
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) { return pwrite64(file, bytes, count, offset); }

ssize_t write(int file, const void *bytes, size_t count) {
    if (!is_watched(file)) return syscall(SYS_write, file, bytes, count);
    lock();
    int append = fcntl(file, F_GETFL) & O_APPEND;
    off_t offset = lseek(file, 0, append ? SEEK_END : SEEK_CUR);
    ssize_t written = syscall(SYS_write, file, bytes, count);
    if (written > 0) note_write(file, bytes, (size_t)written, (uint64_t)offset);
    unlock();
    return written;
}

int ftruncate64(int file, off64_t length) {
    lock();
    int result = (int)syscall(SYS_ftruncate, file, length);
    if (result == 0 && is_watched(file)) note('T', inode_of(file), 0, (uint64_t)length, NULL, NULL, NULL, 0);
    unlock();
    return result;
}
int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

static int sync_noted(int file, long call) {
    lock();
    // Whatever is written while this runs is not below it: the lock is held.
    int result = (int)syscall(call, file);
    if (result == 0 && is_watched(file)) {
        struct stat found;
        if (fstat(file, &found) != 0) give_up("a synced file cannot be looked at");
        if (S_ISDIR(found.st_mode)) {
            char path[PATH_MAX];
            absolute(file, ".", path);
            path[strlen(path) - 2] = 0;
            note('D', 0, 0, 0, path, NULL, NULL, 0);
        } else {
            note('S', found.st_ino, 0, 0, NULL, NULL, NULL, 0);
        }
    }
    unlock();
    return result;
}
int fsync(int file) { return sync_noted(file, SYS_fsync); }
int fdatasync(int file) { return sync_noted(file, SYS_fdatasync); }

static int rename_noted(int from_directory, const char *from, int to_directory, const char *to) {
    char whole_from[PATH_MAX], whole_to[PATH_MAX];
    lock();
    absolute(from_directory, from, whole_from);
    absolute(to_directory, to, whole_to);
    int result = (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, 0);
    if (result == 0 && (is_below(whole_from) || is_below(whole_to))) {
        int inside = is_below(whole_from) && is_below(whole_to);
        note(inside ? 'R' : '!', 0, 0, 0, whole_from, whole_to, NULL, 0);
    }
    unlock();
    return result;
}
int rename(const char *from, const char *to) { return rename_noted(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int from_directory, const char *from, int to_directory, const char *to) {
    return rename_noted(from_directory, from, to_directory, to);
}

int unlinkat(int directory, const char *path, int flags) {
    char whole[PATH_MAX];
    lock();
    absolute(directory, path, whole);
    int result = (int)syscall(SYS_unlinkat, directory, path, flags);
    if (result == 0 && is_below(whole)) note('U', 0, 0, 0, whole, NULL, NULL, 0);
    unlock();
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int directory, const char *path, mode_t mode) {
    char whole[PATH_MAX];
    lock();
    absolute(directory, path, whole);
    int result = (int)syscall(SYS_mkdirat, directory, path, mode);
    if (result == 0 && is_below(whole)) note('M', 0, 0, 0, whole, NULL, NULL, 0);
    unlock();
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

// Promises nothing about the drive or about metadata, so it makes nothing durable here.
int sync_file_range(int file, off64_t offset, off64_t count, unsigned flags) {
    return (int)syscall(SYS_sync_file_range, file, offset, count, flags);
}

static void refuse(int file, const char *call) {
    lock();
    if (is_watched(file)) note('!', 0, 0, 0, call, NULL, NULL, 0);
    unlock();
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    refuse(file, "writev");
    return syscall(SYS_writev, file, parts, count);
}
ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t offset) {
    refuse(file, "pwritev64");
    return REAL(pwritev64)(file, parts, count, offset);
}
ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t count, unsigned flags) {
    refuse(to, "copy_file_range");
    return syscall(SYS_copy_file_range, from, from_offset, to, to_offset, count, flags);
}
int fallocate64(int file, int mode, off64_t offset, off64_t count) {
    refuse(file, "fallocate64");
    return (int)syscall(SYS_fallocate, file, mode, offset, count);
}
int posix_fallocate64(int file, off64_t offset, off64_t count) {
    refuse(file, "posix_fallocate64");
    return REAL(posix_fallocate64)(file, offset, count);
}
void *mmap64(void *where, size_t count, int access, int flags, int file, off64_t offset) {
    if (file >= 0 && (access & PROT_WRITE) && (flags & MAP_SHARED)) refuse(file, "mmap64");
    return (void *)syscall(SYS_mmap, where, count, access, flags, file, offset);
}
