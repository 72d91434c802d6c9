/* Who watches `/count` (RFC 7641). */
#ifndef OBSERVERS_H
#define OBSERVERS_H

#include "message.h"
#include "network.h"

/* A value is news every second; who has heard nothing for so long has lost us. */
enum { OBSERVE_MAX_AGE_SECONDS = 10 };

/* Registers or deregisters as the request says, and adds what the response tells of it. */
void observers_register(struct endpoint from, const struct message *request, struct writer *writer);

/* The peer does not want what it got under this message id. */
void observers_reset(struct endpoint from, uint16_t id);

void observers_acknowledged(struct endpoint from, uint16_t id);

/* Sends what is due. */
void observers_tick(void);

#endif
