/* Takes messages apart by type, remembers what was answered, and answers requests. */
#include "server.h"

#include <string.h>

#include "clock.h"
#include "observers.h"
#include "push.h"
#include "random.h"

/* How many answers are remembered for requests that come twice. The oldest gives way before its time
 * if more peers ask; nothing here does harm when it is done twice. */
enum { REMEMBERED = 8 };

static struct answered {
  struct endpoint from;
  uint16_t id, length;
  uint32_t at;
  bool is_set;
  uint8_t response[RESPONSE_MAX];
} answered[REMEMBERED];
static size_t next_answered;

uint16_t server_next_id(void) {
  static uint16_t id;
  static bool is_started;
  if (!is_started) id = (uint16_t)random_number();
  is_started = true;
  return id++;
}

uint32_t server_first_timeout_ticks(void) {
  uint32_t ticks = ACK_TIMEOUT_SECONDS * TICKS_A_SECOND;
  return ticks + random_number() % (ticks / 2 + 1);
}

void server_send(struct endpoint to, const uint8_t *bytes, size_t length) {
  if (length > 0) network_send(to, COAP_PORT, bytes, length);
}

void server_send_empty(struct endpoint to, enum type type, uint16_t id) {
  uint8_t bytes[4];
  struct writer writer;
  message_start(&writer, bytes, sizeof bytes, type, EMPTY, id, NULL);
  server_send(to, bytes, message_end(&writer));
}

static struct answered *find(struct endpoint from, uint16_t id) {
  for (size_t i = 0; i < REMEMBERED; i++) {
    struct answered *it = &answered[i];
    uint32_t age = clock_ticks() - it->at;
    if (it->is_set && it->id == id && endpoint_equals(it->from, from) &&
        age < EXCHANGE_LIFETIME_SECONDS * TICKS_A_SECOND)
      return it;
  }
  return NULL;
}

/* What is wrong with a request, before its resource is asked; EMPTY if nothing is. */
static enum code objection(const struct message *request, const struct resource *resource) {
  bool is_put = request->code == PUT;
  if (request->wants_proxy) return NO_PROXYING;
  if (request->has_unknown_critical) return BAD_OPTION;
  if (resource == NULL) return NOT_FOUND;
  if (request->code != GET && !(is_put && resource->take != NULL)) return METHOD_NOT_ALLOWED;
  if (request->accept != FORMAT_NONE && request->accept != resource->format) return NOT_ACCEPTABLE;
  if (is_put && request->format != FORMAT_NONE && request->format != resource->format)
    return UNSUPPORTED_FORMAT;
  return EMPTY;
}

/* The part of `text` that a request for a block asks for (RFC 7959): the whole, if it asks for none
 * and gets none. False if there is no such block. */
static bool put_representation(struct writer *writer, const struct message *request,
                               const struct text *text) {
  enum { MORE = 1 << 3, SIZE_RESERVED = 7, SMALLEST_SHIFT = 4 };
  uint32_t size_exponent = request->block2 & 7, number = request->block2 >> 4;
  size_t size = (size_t)1 << (size_exponent + SMALLEST_SHIFT), from = number * size;
  if (!request->has_block2) {
    message_payload(writer, text->bytes, text->length);
    return true;
  }
  if (size_exponent == SIZE_RESERVED || (from >= text->length && number > 0)) return false;
  size_t rest = text->length - from;
  bool is_last = rest <= size;
  message_number(writer, OPTION_BLOCK2, number << 4 | (is_last ? 0 : MORE) | size_exponent);
  message_payload(writer, text->bytes + from, is_last ? rest : size);
  return true;
}

static size_t refuse(uint8_t *bytes, enum type type, enum code code, uint16_t id,
                     const struct message *request) {
  struct writer writer;
  message_start(&writer, bytes, RESPONSE_MAX, type, code, id, &request->token);
  return message_end(&writer);
}

static size_t show(uint8_t *bytes, enum type type, uint16_t id, struct endpoint from,
                   const struct message *request, const struct resource *resource) {
  struct writer writer;
  struct text text = {.length = 0};
  resource->show(&text);
  message_start(&writer, bytes, RESPONSE_MAX, type, CONTENT, id, &request->token);
  if (resource->is_observable && request->has_observe)
    observers_register(from, request, &writer);
  message_number(&writer, OPTION_CONTENT_FORMAT, resource->format);
  if (resource->is_observable) message_number(&writer, OPTION_MAX_AGE, OBSERVE_MAX_AGE_SECONDS);
  if (!put_representation(&writer, request, &text)) return refuse(bytes, type, BAD_REQUEST, id, request);
  return message_end(&writer);
}

static size_t answer(uint8_t *bytes, struct endpoint from, const struct message *request) {
  const struct resource *resource = request->is_path_too_long ? NULL : resource_at(request->path);
  bool is_confirmable = request->type == CONFIRMABLE;
  enum type type = is_confirmable ? ACKNOWLEDGEMENT : NON_CONFIRMABLE;
  uint16_t id = is_confirmable ? request->id : server_next_id();
  enum code code = objection(request, resource);
  if (code == EMPTY && request->code == GET) return show(bytes, type, id, from, request, resource);
  if (code == EMPTY)
    code = resource->take(request->payload, request->payload_length) ? CHANGED : BAD_REQUEST;
  return refuse(bytes, type, code, id, request);
}

static void handle_request(struct endpoint from, const struct message *request) {
  struct answered *it = find(from, request->id);
  if (it == NULL) {
    it = &answered[next_answered];
    next_answered = (next_answered + 1) % REMEMBERED;
    *it = (struct answered){.from = from, .id = request->id, .at = clock_ticks(), .is_set = true};
    it->length = (uint16_t)answer(it->response, from, request);
  } else if (request->type != CONFIRMABLE) {
    return;
  }
  server_send(from, it->response, it->length);
}

/* A response that came by itself, after an empty acknowledgement. */
static void handle_response(struct endpoint from, const struct message *response) {
  bool is_known = push_answered(from, response);
  if (is_known && response->type == CONFIRMABLE) server_send_empty(from, ACKNOWLEDGEMENT, response->id);
  if (!is_known) server_send_empty(from, RESET, response->id);
}

void server_receive(struct endpoint from, const uint8_t *bytes, size_t length) {
  struct message message;
  enum parsed parsed = message_parse(&message, bytes, length);
  if (parsed == PARSED_NOTHING) return;
  if (message.type == RESET) {
    observers_reset(from, message.id);
    push_reset(from, message.id);
  } else if (message.type == ACKNOWLEDGEMENT) {
    if (parsed == PARSED_BROKEN) return;
    observers_acknowledged(from, message.id);
    push_acknowledged(from, &message);
  } else if (parsed == PARSED && message.code != EMPTY && class_of(message.code) == CLASS_REQUEST) {
    handle_request(from, &message);
  } else if (parsed == PARSED && class_of(message.code) >= CLASS_SUCCESS && class_of(message.code) <= 5) {
    handle_response(from, &message);
  } else if (message.type == CONFIRMABLE) {
    /* An empty one asks whether anybody is there ("ping"); a broken one cannot be answered else. */
    server_send_empty(from, RESET, message.id);
  }
}
