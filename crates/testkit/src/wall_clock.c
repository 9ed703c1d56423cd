// Preloaded into servers and agents: the wall clock is ahead by the milliseconds that stand in the file $STEEPLE_CLOCK_FILE.
//
// The file holds one int64 and is mapped, so that a change takes effect at once. The monotonic clock is left alone, as it
// is when an operator sets a clock. Waits until a point of wall time (RocksDB has such) are moved along, because the
// kernel does not know of the change.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// A monotonic time is smaller, a wall time is larger: this is the year 2001.
#define WALL_SECONDS_MIN 1000000000

typedef int (*wait_call)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

static const volatile int64_t *ahead_ms;

__attribute__((constructor)) static void map_file(void) {
    const char *path = getenv("STEEPLE_CLOCK_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof *ahead_ms, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED) ahead_ms = mapped;
}

static struct timespec moved(struct timespec time, int64_t by_ms) {
    int64_t nanoseconds = time.tv_nsec + (by_ms % 1000) * 1000000;
    time.tv_sec += by_ms / 1000;
    if (nanoseconds < 0) {
        nanoseconds += 1000000000;
        time.tv_sec -= 1;
    } else if (nanoseconds >= 1000000000) {
        nanoseconds -= 1000000000;
        time.tv_sec += 1;
    }
    time.tv_nsec = nanoseconds;
    return time;
}

static int64_t ahead(void) { return ahead_ms == NULL ? 0 : *ahead_ms; }

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    int wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if (result == 0 && wall) *time = moved(*time, ahead());
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    *time = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    if (result != NULL) *result = now.tv_sec;
    return now.tv_sec;
}

int pthread_cond_timedwait(
    pthread_cond_t *restrict condition,
    pthread_mutex_t *restrict mutex,
    const struct timespec *restrict until
) {
    static wait_call call;
    // Without a version the dynamic linker answers with the one for old condition variables.
    if (call == NULL) call = (wait_call)dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (call == NULL) call = (wait_call)dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    if (until->tv_sec < WALL_SECONDS_MIN) return call(condition, mutex, until);
    struct timespec kernels = moved(*until, -ahead());
    return call(condition, mutex, &kernels);
}
