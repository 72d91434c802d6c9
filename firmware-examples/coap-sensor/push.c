/* One report at a time. It is the state of the moment, not a history: one that nobody takes is given
 * up, and the next one is newer anyway. */
#include "push.h"

#include <string.h>

#include "clock.h"
#include "log.h"
#include "random.h"
#include "resources.h"
#include "server.h"

/* How long an answer is waited for that the gateway has promised with an empty acknowledgement: as
 * long as it may take to make the report durable on a slow disk. */
enum { ANSWER_SECONDS = 30 };

/* Between two questions for the gateway's address. */
enum { ASK_AGAIN_SECONDS = 1 };

static const struct endpoint gateway = {GATEWAY_ADDRESS, GATEWAY_PORT};

static struct {
  enum { IDLE, UNACKNOWLEDGED, PROMISED } state;
  uint16_t id;
  struct token token;
  uint8_t bytes[RESPONSE_MAX];
  size_t length;
  uint32_t due_at, timeout, next_at;
  uint8_t attempts;
} report;

static void end(const char *how) {
  report.state = IDLE;
  log_line(how);
}

static void make(void) {
  struct writer writer;
  struct text text = {.length = 0};
  uint32_t words[2] = {random_number(), random_number()};
  report.token.length = TOKEN_MAX;
  memcpy(report.token.bytes, words, TOKEN_MAX);
  report.id = server_next_id();
  resource_sensors->show(&text);
  message_start(&writer, report.bytes, sizeof report.bytes, CONFIRMABLE, POST, report.id, &report.token);
  message_option(&writer, OPTION_URI_PATH, GATEWAY_PATH, strlen(GATEWAY_PATH));
  message_number(&writer, OPTION_CONTENT_FORMAT, resource_sensors->format);
  message_payload(&writer, text.bytes, text.length);
  report.length = message_end(&writer);
}

static void start(uint32_t now) {
  make();
  report.state = UNACKNOWLEDGED;
  report.attempts = 0;
  report.timeout = server_first_timeout_ticks();
  report.due_at = now + report.timeout;
  server_send(gateway, report.bytes, report.length);
}

/* The same bytes again, so that the gateway can tell that it is the same report. */
static void try_again(void) {
  if (report.attempts == MAX_RETRANSMIT) {
    end("report: no answer");
    return;
  }
  report.attempts++;
  report.timeout *= 2;
  report.due_at += report.timeout;
  server_send(gateway, report.bytes, report.length);
}

static void close(uint8_t code) {
  end(class_of(code) == CLASS_SUCCESS ? "report: taken" : "report: refused");
}

bool push_answered(struct endpoint from, const struct message *response) {
  if (!endpoint_equals(from, gateway) || !token_equals(&response->token, &report.token)) return false;
  /* It may come twice, if our acknowledgement was lost; then it is known, and closes nothing. */
  if (report.state != IDLE) close(response->code);
  return true;
}

void push_acknowledged(struct endpoint from, const struct message *acknowledgement) {
  if (report.state != UNACKNOWLEDGED || acknowledgement->id != report.id) return;
  if (!endpoint_equals(from, gateway)) return;
  if (acknowledgement->code == EMPTY) {
    report.state = PROMISED;
    report.due_at = clock_ticks() + ANSWER_SECONDS * TICKS_A_SECOND;
  } else if (token_equals(&acknowledgement->token, &report.token)) {
    close(acknowledgement->code);
  }
}

void push_reset(struct endpoint from, uint16_t id) {
  if (report.state != IDLE && id == report.id && endpoint_equals(from, gateway)) end("report: reset");
}

void push_tick(void) {
  uint32_t now = clock_ticks();
  bool is_due = (int32_t)(now - report.due_at) >= 0;
  if (PUSH_SECONDS == 0) return;
  if (report.state == UNACKNOWLEDGED && is_due) try_again();
  if (report.state == PROMISED && is_due) end("report: no answer");
  if (report.state == IDLE && (int32_t)(now - report.next_at) >= 0) {
    /* Its answer to the question for its address is also the first chance that ids and tokens are
     * made of: see random.c. */
    bool is_found = network_finds(gateway.address);
    uint32_t seconds = is_found ? PUSH_SECONDS : ASK_AGAIN_SECONDS;
    report.next_at = now + seconds * TICKS_A_SECOND;
    if (is_found) start(now);
  }
}
