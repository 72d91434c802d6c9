/* The resources of the sensor, made for libcoap. */
#ifndef RESOURCES_H
#define RESOURCES_H

#include <coap3/coap.h>

/* Adds all of them to `context`; gives the one whose value changes every second. */
coap_resource_t *resources_add(coap_context_t *context);

/* Seconds since the start. */
unsigned long count(void);

#endif
