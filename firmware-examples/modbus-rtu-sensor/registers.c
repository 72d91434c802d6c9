/* The values behind the register map. */
#include "registers.h"

#include <string.h>

#include "clock.h"
#include "sensor.h"

enum { INPUT_COUNT = 7, HOLDING_COUNT = 4 };
enum { SETPOINT = 0, LED = 1, OFFSET_HIGH = 2, OFFSET_LOW = 3 };

/* Bounds of what may be set, in the units of the registers. */
enum { SETPOINT_MIN = -400, SETPOINT_MAX = 850 };
enum { OFFSET_MILLIDEGREES_MAX = 10000 };

static uint16_t holding[HOLDING_COUNT] = {[SETPOINT] = 220};
static uint32_t requests;
static uint16_t spoilt_frames;

void count_request(void) { requests++; }
void count_spoilt_frame(void) { spoilt_frames++; }

static int32_t offset_of(const uint16_t *words) {
  return (int32_t)((uint32_t)words[OFFSET_HIGH] << 16 | words[OFFSET_LOW]);
}

static int exists(uint16_t first, uint16_t count, uint16_t size) {
  return first < size && count <= size - first;
}

/* Both words of a counter come from one reading of it: computed once, before any is copied. */
enum exception input_read(uint16_t first, uint16_t count, uint16_t *words) {
  uint32_t uptime = clock_ticks() / TICKS_A_SECOND;
  int32_t temperature = sensor_temperature_tenths() + offset_of(holding) / 100;
  const uint16_t input[INPUT_COUNT] = {
      (uint16_t)temperature,    sensor_humidity_tenths(),  (uint16_t)(uptime >> 16), (uint16_t)uptime,
      (uint16_t)(requests >> 16), (uint16_t)requests, spoilt_frames,
  };
  if (!exists(first, count, INPUT_COUNT)) return EXCEPTION_ADDRESS;
  memcpy(words, input + first, count * sizeof *words);
  return EXCEPTION_NONE;
}

enum exception holding_read(uint16_t first, uint16_t count, uint16_t *words) {
  if (!exists(first, count, HOLDING_COUNT)) return EXCEPTION_ADDRESS;
  memcpy(words, holding + first, count * sizeof *words);
  return EXCEPTION_NONE;
}

static int is_allowed(const uint16_t *words) {
  int16_t setpoint = (int16_t)words[SETPOINT];
  int32_t offset = offset_of(words);
  return setpoint >= SETPOINT_MIN && setpoint <= SETPOINT_MAX && words[LED] <= 1 &&
         offset >= -OFFSET_MILLIDEGREES_MAX && offset <= OFFSET_MILLIDEGREES_MAX;
}

enum exception holding_write(uint16_t first, uint16_t count, const uint16_t *words) {
  uint16_t wanted[HOLDING_COUNT];
  if (!exists(first, count, HOLDING_COUNT)) return EXCEPTION_ADDRESS;
  /* Half of a 32-bit value would for a moment be neither the old one nor the new one. */
  if (first == OFFSET_LOW || first + count == OFFSET_LOW) return EXCEPTION_ADDRESS;
  memcpy(wanted, holding, sizeof wanted);
  memcpy(wanted + first, words, count * sizeof *words);
  if (!is_allowed(wanted)) return EXCEPTION_VALUE;
  memcpy(holding, wanted, sizeof holding);
  return EXCEPTION_NONE;
}
