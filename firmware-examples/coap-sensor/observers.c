/* A notification a second, most of them unconfirmed; every few one that must be acknowledged, so that
 * an observer that went away without a word is found. */
#include "observers.h"

#include <stdbool.h>

#include "clock.h"
#include "resources.h"
#include "server.h"

/* A gateway, its spare, a technician and a test. When all places are taken, a request is answered
 * without the Observe option: its sender then polls. */
enum { OBSERVERS = 4 };
enum { REGISTER = 0, CONFIRM_EVERY = 5, SEQUENCE_MASK = 0xFFFFFF };

static struct observer {
  struct endpoint who;
  struct token token;
  uint32_t sequence, due_at, timeout;
  uint16_t last_id;
  uint8_t attempts;
  bool is_set, waits_for_acknowledgement;
} observers[OBSERVERS];

/* Who asks again with the same token takes his old place. */
static struct observer *place_for(struct endpoint who, const struct token *token) {
  struct observer *free = NULL;
  for (size_t i = 0; i < OBSERVERS; i++) {
    struct observer *it = &observers[i];
    if (it->is_set && endpoint_equals(it->who, who) && token_equals(&it->token, token)) return it;
    if (!it->is_set && free == NULL) free = it;
  }
  return free;
}

void observers_register(struct endpoint from, const struct message *request, struct writer *writer) {
  struct observer *it = place_for(from, &request->token);
  if (it == NULL) return;
  if (request->observe != REGISTER) {
    it->is_set = false;
    return;
  }
  uint32_t sequence = it->is_set ? it->sequence : 0;
  *it = (struct observer){.who = from, .token = request->token, .is_set = true, .sequence = sequence};
  it->due_at = clock_ticks() + TICKS_A_SECOND;
  message_number(writer, OPTION_OBSERVE, ++it->sequence & SEQUENCE_MASK);
}

static struct observer *who_got(struct endpoint from, uint16_t id) {
  for (size_t i = 0; i < OBSERVERS; i++) {
    struct observer *it = &observers[i];
    if (it->is_set && it->last_id == id && endpoint_equals(it->who, from)) return it;
  }
  return NULL;
}

void observers_reset(struct endpoint from, uint16_t id) {
  struct observer *it = who_got(from, id);
  if (it != NULL) it->is_set = false;
}

void observers_acknowledged(struct endpoint from, uint16_t id) {
  struct observer *it = who_got(from, id);
  if (it == NULL || !it->waits_for_acknowledgement) return;
  it->waits_for_acknowledgement = false;
  it->due_at = clock_ticks() + TICKS_A_SECOND;
}

static void notify(struct observer *it, enum type type) {
  uint8_t bytes[RESPONSE_MAX];
  struct writer writer;
  struct text text = {.length = 0};
  resource_count->show(&text);
  it->last_id = server_next_id();
  message_start(&writer, bytes, sizeof bytes, type, CONTENT, it->last_id, &it->token);
  message_number(&writer, OPTION_OBSERVE, ++it->sequence & SEQUENCE_MASK);
  message_number(&writer, OPTION_CONTENT_FORMAT, resource_count->format);
  message_number(&writer, OPTION_MAX_AGE, OBSERVE_MAX_AGE_SECONDS);
  message_payload(&writer, text.bytes, text.length);
  server_send(it->who, bytes, message_end(&writer));
}

/* Where a retransmission is due the value has moved on: RFC 7641, section 4.5.2, has the newest one
 * sent under a message id of its own, and the attempts go on counting. */
static void try_again(struct observer *it) {
  if (it->attempts == MAX_RETRANSMIT) {
    it->is_set = false;
    return;
  }
  it->attempts++;
  it->timeout *= 2;
  it->due_at += it->timeout;
  notify(it, CONFIRMABLE);
}

static void go_on(struct observer *it) {
  bool is_confirmable = it->sequence % CONFIRM_EVERY == 0;
  if (is_confirmable) {
    it->waits_for_acknowledgement = true;
    it->attempts = 0;
    it->timeout = server_first_timeout_ticks();
  }
  it->due_at += is_confirmable ? it->timeout : TICKS_A_SECOND;
  notify(it, is_confirmable ? CONFIRMABLE : NON_CONFIRMABLE);
}

void observers_tick(void) {
  for (size_t i = 0; i < OBSERVERS; i++) {
    struct observer *it = &observers[i];
    if (!it->is_set || (int32_t)(clock_ticks() - it->due_at) < 0) continue;
    if (it->waits_for_acknowledgement) {
      try_again(it);
    } else {
      go_on(it);
    }
  }
}
