/* Time since the start, in tenths of a second: fine enough for a sensor, coarse enough to sleep. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

enum { TICKS_A_SECOND = 10 };

void clock_start(void);

/* Counts for 13 years before it begins again. */
uint32_t clock_ticks(void);

#endif
