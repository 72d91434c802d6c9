/* A client that does nothing but ask: the measure for ours.
 *
 *   libmodbus_loop HOST PORT UNIT START COUNT SECONDS
 *
 * Reads COUNT holding registers from PDU address START, one request after the other on one
 * connection, for SECONDS. Prints one line of JSON:
 *
 *   {"requests": 12345, "failed": 0, "seconds": 5.000, "per_second": 2469.0, "cpu_seconds": 0.412}
 */
#include <modbus/modbus.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: libmodbus_loop HOST PORT UNIT START COUNT SECONDS\n");
        return 2;
    }
    int start = atoi(argv[4]), count = atoi(argv[5]);
    double seconds = atof(argv[6]);
    uint16_t words[MODBUS_MAX_READ_REGISTERS];
    if (count < 1 || count > MODBUS_MAX_READ_REGISTERS) {
        fprintf(stderr, "libmodbus_loop: COUNT is 1 to %d\n", MODBUS_MAX_READ_REGISTERS);
        return 2;
    }
    modbus_t *ctx = modbus_new_tcp(argv[1], atoi(argv[2]));
    if (!ctx || modbus_set_slave(ctx, atoi(argv[3])) || modbus_connect(ctx)) {
        fprintf(stderr, "libmodbus_loop: connect: %s\n", modbus_strerror(errno));
        return 1;
    }
    long requests = 0, failed = 0;
    double started = now(), ended;
    do {
        if (modbus_read_registers(ctx, start, count, words) == count)
            requests++;
        else
            failed++;
        ended = now();
    } while (ended - started < seconds);
    double took = ended - started;
    printf("{\"requests\": %ld, \"failed\": %ld, \"seconds\": %.3f, \"per_second\": %.1f, "
           "\"cpu_seconds\": %.3f}\n",
           requests, failed, took, (double)requests / took, cpu());
    modbus_close(ctx);
    modbus_free(ctx);
    return failed != 0;
}
