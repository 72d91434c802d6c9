/* What each resource shows and takes. The values stand still, but for the count: put your sensor in
 * their place. */
#include "resources.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* How long a value counts as fresh: a silence that is longer tells an observer that we are gone. */
enum { MAX_AGE_SECONDS = 10 };

static const double temperature = 21.5, humidity = 48.0;
static int led;

unsigned long count(void) {
  static time_t started;
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  if (started == 0) started = at.tv_sec;
  return (unsigned long)(at.tv_sec - started);
}

/* libcoap cuts the text into blocks where the client wants some, and copies it. */
static void answer(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                   const coap_string_t *query, coap_pdu_t *response, uint16_t format,
                   const char *text) {
  coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
  coap_add_data_large_response(resource, session, request, response, query, format, MAX_AGE_SECONDS,
                               0, strlen(text), (const uint8_t *)text, NULL, NULL);
}

static void get_temperature(coap_resource_t *resource, coap_session_t *session,
                            const coap_pdu_t *request, const coap_string_t *query,
                            coap_pdu_t *response) {
  char text[16];
  snprintf(text, sizeof text, "%.1f", temperature);
  answer(resource, session, request, query, response, COAP_MEDIATYPE_TEXT_PLAIN, text);
}

/* RFC 8428: a pack of records, each with a name, a unit and a value. */
static void get_sensors(coap_resource_t *resource, coap_session_t *session,
                        const coap_pdu_t *request, const coap_string_t *query,
                        coap_pdu_t *response) {
  char text[160];
  snprintf(text, sizeof text,
           "[{\"n\":\"temp\",\"u\":\"Cel\",\"v\":%.1f},{\"n\":\"hum\",\"u\":\"%%RH\",\"v\":%.1f},"
           "{\"n\":\"count\",\"u\":\"count\",\"v\":%lu}]",
           temperature, humidity, count());
  answer(resource, session, request, query, response, COAP_MEDIATYPE_APPLICATION_SENML_JSON, text);
}

static void get_count(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                      const coap_string_t *query, coap_pdu_t *response) {
  char text[24];
  snprintf(text, sizeof text, "%lu", count());
  answer(resource, session, request, query, response, COAP_MEDIATYPE_TEXT_PLAIN, text);
}

static void get_led(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                    const coap_string_t *query, coap_pdu_t *response) {
  answer(resource, session, request, query, response, COAP_MEDIATYPE_TEXT_PLAIN, led ? "1" : "0");
}

static void put_led(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                    const coap_string_t *query, coap_pdu_t *response) {
  const uint8_t *data = NULL;
  size_t length = 0;
  (void)resource, (void)session, (void)query;
  coap_get_data(request, &length, &data);
  if (length != 1 || (data[0] != '0' && data[0] != '1')) {
    coap_pdu_set_code(response, COAP_RESPONSE_CODE_BAD_REQUEST);
    return;
  }
  led = data[0] == '1';
  coap_pdu_set_code(response, COAP_RESPONSE_CODE_CHANGED);
}

static coap_resource_t *add(coap_context_t *context, const char *path, const char *format,
                            coap_method_handler_t get, coap_method_handler_t put) {
  coap_resource_t *resource = coap_resource_init(coap_make_str_const(path), 0);
  coap_register_request_handler(resource, COAP_REQUEST_GET, get);
  if (put != NULL) coap_register_request_handler(resource, COAP_REQUEST_PUT, put);
  coap_add_attr(resource, coap_make_str_const("ct"), coap_make_str_const(format), 0);
  coap_add_resource(context, resource);
  return resource;
}

coap_resource_t *resources_add(coap_context_t *context) {
  add(context, "temp", "0", get_temperature, NULL);
  add(context, "sensors", "110", get_sensors, NULL);
  add(context, "led", "0", get_led, put_led);
  coap_resource_t *observed = add(context, "count", "0", get_count, NULL);
  coap_resource_set_get_observable(observed, 1);
  return observed;
}
