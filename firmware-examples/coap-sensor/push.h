/* Reports to the gateway by POST, so that it need not ask. */
#ifndef PUSH_H
#define PUSH_H

#include <stdbool.h>

#include "message.h"
#include "network.h"

/* Whether a separate response belongs to the report under way. */
bool push_answered(struct endpoint from, const struct message *response);

void push_acknowledged(struct endpoint from, const struct message *acknowledgement);
void push_reset(struct endpoint from, uint16_t id);

/* Sends what is due. */
void push_tick(void);

#endif
