/* What the device has: its resources, what they show, and what they take. */
#ifndef RESOURCES_H
#define RESOURCES_H

#include <stdbool.h>
#include <stdint.h>

#include "message.h"
#include "text.h"

struct resource {
  const char *path;
  enum format format;
  /* Attributes of its link, from `;` on. */
  const char *attributes;
  void (*show)(struct text *text);
  /* NULL: cannot be written. False: the value cannot be. */
  bool (*take)(const uint8_t *payload, size_t length);
  bool is_observable;
};

/* NULL if there is none at `path`. */
const struct resource *resource_at(const char *path);

/* The one that is reported and observed. */
extern const struct resource *const resource_sensors, *const resource_count;

/* Seconds since the start: what `/count` shows. */
uint32_t count(void);

#endif
