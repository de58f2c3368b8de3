// What benches/init measures with, in one program without a shell's or Python's noise:
//   start ROUNDS COMMAND... , COMMAND...   median microseconds of each, in turns
//   storm N                                N orphans, then waits to be killed
//   stamp                                  writes the time at which each SIGUSR1 arrived
//   nap MS                                 waits, and succeeds
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double median(double *of, int n) {
  qsort(of, n, sizeof *of, by_size);
  return of[n / 2];
}

static int start(int rounds, char **words) {
  char **commands[32];
  int count = 0;
  for (commands[count++] = words; *words; words++)
    if (!strcmp(*words, ",")) *words = 0, commands[count++] = words + 1;
  // One core, and nobody else on it meanwhile.
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(0, &cores);
  struct sched_param first = {1};
  if (sched_setaffinity(0, sizeof cores, &cores) || sched_setscheduler(0, SCHED_FIFO, &first))
    perror("start: not alone on a core");
  double *took = malloc(sizeof *took * rounds * count * 2), *ratio = took + rounds * count;
  for (int i = 0; i < rounds; i++)
    for (int c = 0; c < count; c++) {
      double before = now();
      pid_t pid;
      int status;
      if (posix_spawn(&pid, commands[c][0], 0, 0, commands[c], environ)) return 1;
      waitpid(pid, &status, 0);
      took[c * rounds + i] = now() - before;
      ratio[c * rounds + i] = took[c * rounds + i] / took[i];
    }
  for (int c = 0; c < count; c++)
    printf("%.3f %.1f\n", median(ratio + c * rounds, rounds), median(took + c * rounds, rounds));
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 2) return 1;
  if (!strcmp(argv[1], "start")) return start(atoi(argv[2]), argv + 3);
  if (!strcmp(argv[1], "nap")) return usleep(1000 * atoi(argv[2]));
  if (!strcmp(argv[1], "storm")) {
    for (int i = atoi(argv[2]); i > 0; i--) {
      pid_t child = fork();
      if (!child) {
        fork();
        _exit(0);
      }
      waitpid(child, 0, 0);
    }
    write(1, "", 1);
    pause();
  }
  sigset_t usr1;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  sigprocmask(SIG_BLOCK, &usr1, 0);
  write(1, "", 1);
  while (sigwaitinfo(&usr1, 0) > 0) {
    double at = now();
    write(1, &at, sizeof at);
  }
}
