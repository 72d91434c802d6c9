/* The timer that hears the end of a frame: it goes off once, unless it is started anew. */
#ifndef SILENCE_H
#define SILENCE_H

#include <stdint.h>

/* `elapsed` is called from the interrupt. */
void silence_open(uint32_t baud, void (*elapsed)(void));

/* From here on, 3.5 characters. */
void silence_restart(void);

#endif
