/* A raw libmodbus client: the same reads as the gateway's, and nothing else. It decodes nothing and
 * keeps nothing, so it is what the wire alone costs.
 *
 *   libmodbus_loop rate PORT COUNT SECONDS        one connection, as fast as it goes
 *   libmodbus_loop poll FIRST_PORT N COUNT SECONDS    N connections, one read each a second
 *
 * Prints one JSON object: requests, failed, seconds, cpu_us (user and system). */
#include <errno.h>
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static long cpu_us(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000L + used.ru_utime.tv_usec +
         used.ru_stime.tv_usec;
}

static modbus_t *connect_to(int port) {
  modbus_t *context = modbus_new_tcp("127.0.0.1", port);
  if (context == NULL || modbus_set_slave(context, 1) != 0 || modbus_connect(context) != 0) {
    fprintf(stderr, "port %d: %s\n", port, modbus_strerror(errno));
    exit(1);
  }
  return context;
}

static void report(long requests, long failed, double seconds, long cpu) {
  printf("{\"requests\":%ld,\"failed\":%ld,\"seconds\":%.3f,\"cpu_us\":%ld}\n", requests, failed,
         seconds, cpu);
}

static void rate(int port, int count, double seconds) {
  uint16_t words[MODBUS_MAX_READ_REGISTERS];
  modbus_t *context = connect_to(port);
  long requests = 0, failed = 0, cpu = cpu_us();
  double started = now();
  while (now() - started < seconds) {
    requests++;
    failed += modbus_read_registers(context, 0, count, words) != count;
  }
  report(requests, failed, now() - started, cpu_us() - cpu);
  modbus_free(context);
}

static void poll_all(int first, int n, int count, double seconds) {
  uint16_t words[MODBUS_MAX_READ_REGISTERS];
  modbus_t **contexts = calloc((size_t)n, sizeof *contexts);
  for (int i = 0; i < n; i++) contexts[i] = connect_to(first + i);
  long requests = 0, failed = 0, cpu = cpu_us();
  double started = now();
  for (int round = 0; round < (int)seconds; round++) {
    for (int i = 0; i < n; i++) {
      /* Spread over the second, as a gateway does; a burst would find everything in the cache. */
      double due = started + round + (double)i / n, wait = due - now();
      if (wait > 0) {
        struct timespec pause = {0, (long)(wait * 1e9)};
        nanosleep(&pause, NULL);
      }
      requests++;
      failed += modbus_read_registers(contexts[i], 0, count, words) != count;
    }
  }
  report(requests, failed, now() - started, cpu_us() - cpu);
}

int main(int argc, char **argv) {
  if (argc == 5 && strcmp(argv[1], "rate") == 0) {
    rate(atoi(argv[2]), atoi(argv[3]), atof(argv[4]));
  } else if (argc == 6 && strcmp(argv[1], "poll") == 0) {
    poll_all(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), atof(argv[5]));
  } else {
    fprintf(stderr, "usage: %s rate PORT COUNT SECONDS | poll FIRST_PORT N COUNT SECONDS\n", argv[0]);
    return 2;
  }
  return 0;
}
