/* Preloaded into a program under test: its wall clock is wrong by what a file says, and its boot-time clock runs at another rate.
   HEADWAY_TEST_CLOCK names the file: two doubles, seconds to add to the wall clock and the rate of the boot-time clock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int (*real_clock)(clockid_t, struct timespec *);
static const volatile double *wrong;
static double booted;

static double seconds(const struct timespec *t) { return t->tv_sec + t->tv_nsec / 1e9; }

static void set(struct timespec *t, double to) {
  t->tv_sec = (time_t)to;
  t->tv_nsec = (long)((to - (double)t->tv_sec) * 1e9);
}

__attribute__((constructor)) static void begin(void) {
  const char *name = getenv("HEADWAY_TEST_CLOCK");
  struct timespec now;
  real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  real_clock(CLOCK_BOOTTIME, &now);
  booted = seconds(&now);
  int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *mapped = mmap(NULL, 2 * sizeof(double), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (mapped != MAP_FAILED) wrong = mapped;
}

int clock_gettime(clockid_t which, struct timespec *t) {
  if (!real_clock) begin();
  int result = real_clock(which, t);
  if (result != 0 || !wrong) return result;
  if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE) set(t, seconds(t) + wrong[0]);
  if (which == CLOCK_BOOTTIME) set(t, booted + (seconds(t) - booted) * wrong[1]);
  return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  t->tv_sec = now.tv_sec;
  t->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *t) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (t) *t = now.tv_sec;
  return now.tv_sec;
}
