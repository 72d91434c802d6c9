/* The table of resources. README.md shows it, profiles/coap-sensor.toml is the same for the gateway. */
#include "resources.h"

#include <string.h>

#include "clock.h"
#include "sensor.h"

static bool led;

uint32_t count(void) { return clock_ticks() / TICKS_A_SECOND; }

static void show_temperature(struct text *text) { text_add_tenths(text, sensor_temperature_tenths()); }
static void show_count(struct text *text) { text_add_number(text, count()); }
static void show_led(struct text *text) { text_add(text, led ? "1" : "0"); }

/* RFC 8428. No time: the device has no clock, and a pack without one means now. */
static void show_sensors(struct text *text) {
  text_add(text, "[{\"n\":\"temp\",\"u\":\"Cel\",\"v\":");
  text_add_tenths(text, sensor_temperature_tenths());
  text_add(text, "},{\"n\":\"hum\",\"u\":\"%RH\",\"v\":");
  text_add_tenths(text, sensor_humidity_tenths());
  text_add(text, "},{\"n\":\"count\",\"u\":\"count\",\"v\":");
  text_add_number(text, count());
  text_add(text, "}]");
}

static bool take_led(const uint8_t *payload, size_t length) {
  if (length != 1 || (payload[0] != '0' && payload[0] != '1')) return false;
  led = payload[0] == '1';
  return true;
}

static void show_links(struct text *text);

static const struct resource resources[] = {
    {"temp", FORMAT_TEXT, ";rt=\"temperature\";ct=0", show_temperature, NULL, false},
    {"sensors", FORMAT_SENML_JSON, ";rt=\"senml\";ct=110", show_sensors, NULL, false},
    {"count", FORMAT_TEXT, ";rt=\"count\";ct=0;obs", show_count, NULL, true},
    {"led", FORMAT_TEXT, ";rt=\"led\";ct=0", show_led, take_led, false},
    {".well-known/core", FORMAT_LINKS, NULL, show_links, NULL, false},
};
enum { RESOURCES = sizeof resources / sizeof resources[0] };

const struct resource *const resource_sensors = &resources[1];
const struct resource *const resource_count = &resources[2];

/* RFC 6690. The list does not list itself. */
static void show_links(struct text *text) {
  for (size_t i = 0; i < RESOURCES; i++) {
    if (resources[i].attributes == NULL) continue;
    text_add(text, i == 0 ? "</" : ",</");
    text_add(text, resources[i].path);
    text_add(text, ">");
    text_add(text, resources[i].attributes);
  }
}

const struct resource *resource_at(const char *path) {
  for (size_t i = 0; i < RESOURCES; i++) {
    if (strcmp(resources[i].path, path) == 0) return &resources[i];
  }
  return NULL;
}
