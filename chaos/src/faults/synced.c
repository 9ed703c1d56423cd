// Preloaded into the servers: notes how much of each file the kernel was told to make durable.
//
// Each successful fsync and fdatasync writes the length that the file had before the call into the file
// $STEEPLE_SYNCED_DIR/<inode>, as eight bytes. After a kill, what lies beyond that length is what a power cut may take.
//
// While $STEEPLE_SYNCED_DIR/slow exists, each call takes as many milliseconds longer as stand in it, as on a slow disk:
// whoever acknowledges before the call returns is then easily caught.
//
// While $STEEPLE_SYNCED_DIR/fail exists, each call fails with EIO and syncs nothing.
//
// With STEEPLE_SYNCED_LATE set, each call notes the length of the call before it: a disk whose promises come one sync
// late, which is what a server looks like that acknowledges before its flush.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef int (*sync_call)(int);

#define LATE_FILES_MAX 4096
static struct { ino_t inode; uint64_t length; } late[LATE_FILES_MAX];
static pthread_mutex_t late_lock = PTHREAD_MUTEX_INITIALIZER;

// The length of the call before this one; 0 for the first.
static uint64_t exchange_late(ino_t inode, uint64_t length) {
    uint64_t before = 0;
    pthread_mutex_lock(&late_lock);
    for (size_t i = 0; i < LATE_FILES_MAX; i++) {
        if (late[i].inode == inode || late[i].inode == 0) {
            before = late[i].length;
            late[i].inode = inode;
            late[i].length = length;
            break;
        }
    }
    pthread_mutex_unlock(&late_lock);
    return before < length ? before : length;
}

// Whether the disk is told to be so.
static int is_told(const char *how) {
    const char *dir = getenv("STEEPLE_SYNCED_DIR");
    char path[4096];
    if (dir == NULL || snprintf(path, sizeof path, "%s/%s", dir, how) >= (int)sizeof path) return 0;
    return access(path, F_OK) == 0;
}

// Longer than any disk that is not broken.
#define SLOW_MS_MAX 10000

static void wait_as_told(void) {
    const char *dir = getenv("STEEPLE_SYNCED_DIR");
    char path[4096], text[16] = "";
    if (dir == NULL || snprintf(path, sizeof path, "%s/slow", dir) >= (int)sizeof path) return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    long ms = length > 0 ? atol(text) : 0;
    if (ms > SLOW_MS_MAX) ms = SLOW_MS_MAX;
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    if (ms > 0) nanosleep(&pause, NULL);
}

static void note(const struct stat *file) {
    const char *dir = getenv("STEEPLE_SYNCED_DIR");
    if (dir == NULL || !S_ISREG(file->st_mode)) return;
    uint64_t length = (uint64_t)file->st_size;
    if (getenv("STEEPLE_SYNCED_LATE") != NULL) length = exchange_late(file->st_ino, length);
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%llu", dir, (unsigned long long)file->st_ino) >= (int)sizeof path) return;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    // One call, so that a kill finds the old length or the new one.
    ssize_t written = pwrite(fd, &length, sizeof length, 0);
    (void)written;
    close(fd);
}

static int sync_and_note(const char *name, int fd) {
    sync_call call = (sync_call)dlsym(RTLD_NEXT, name);
    struct stat before;
    int known = fstat(fd, &before) == 0;
    wait_as_told();
    if (is_told("fail")) {
        errno = EIO;
        return -1;
    }
    int result = call(fd);
    if (result == 0 && known) note(&before);
    return result;
}

int fsync(int fd) { return sync_and_note("fsync", fd); }
int fdatasync(int fd) { return sync_and_note("fdatasync", fd); }
