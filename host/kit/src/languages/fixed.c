// Gives a build tool the same clock and the same randomness every time, so that it makes the same bytes again.
//
// In scope: preloaded (LD_PRELOAD) into tools that run the language's engine while they build, and keep its memory.
// Out of scope: what runs in the host. A handler has neither clock nor randomness there.

#define _GNU_SOURCE
#include <string.h>
#include <sys/random.h>
#include <sys/time.h>
#include <time.h>

static const time_t EPOCH_S = 1700000000;
static const time_t UPTIME_S = 1000;

ssize_t getrandom(void *buffer, size_t length, unsigned flags) {
    (void)flags;
    memset(buffer, 0x42, length);
    return (ssize_t)length;
}

int getentropy(void *buffer, size_t length) {
    memset(buffer, 0x42, length);
    return 0;
}

time_t time(time_t *seconds) {
    if (seconds) *seconds = EPOCH_S;
    return EPOCH_S;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    *now = (struct timeval){.tv_sec = EPOCH_S};
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    *now = (struct timespec){.tv_sec = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ? EPOCH_S : UPTIME_S};
    return 0;
}
