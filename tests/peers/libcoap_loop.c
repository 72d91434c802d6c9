/* libcoap's client: one confirmable GET after the other over one session, each as soon as the one
 * before it is answered, and nothing else.
 *
 *   libcoap_loop PORT PATH SECONDS
 *
 * Prints one JSON object: requests, failed, seconds, cpu_us (user and system). */
#include <arpa/inet.h>
#include <coap3/coap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* An answer on loopback takes microseconds; a server that is gone ends the loop. */
enum { ANSWER_AT_MOST_MS = 5000 };

static int is_answered, is_good;

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static long cpu_us(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000L + used.ru_utime.tv_usec +
         used.ru_stime.tv_usec;
}

static coap_response_t on_response(coap_session_t *session, const coap_pdu_t *sent,
                                   const coap_pdu_t *received, const coap_mid_t id) {
  (void)session, (void)sent, (void)id;
  is_answered = 1;
  is_good = coap_pdu_get_code(received) == COAP_RESPONSE_CODE_CONTENT;
  return COAP_RESPONSE_OK;
}

static coap_session_t *connect_to(coap_context_t *context, int port) {
  coap_address_t server;
  coap_address_init(&server);
  server.addr.sin.sin_family = AF_INET;
  server.addr.sin.sin_port = htons((uint16_t)port);
  server.addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  server.size = sizeof server.addr.sin;
  coap_session_t *session = coap_new_client_session(context, NULL, &server, COAP_PROTO_UDP);
  if (session == NULL) {
    fprintf(stderr, "port %d: no session\n", port);
    exit(1);
  }
  return session;
}

static int get(coap_context_t *context, coap_session_t *session, const char *path) {
  uint8_t token[8];
  size_t length;
  coap_pdu_t *request = coap_new_pdu(COAP_MESSAGE_CON, COAP_REQUEST_CODE_GET, session);
  if (request == NULL) return 0;
  coap_session_new_token(session, &length, token);
  coap_add_token(request, length, token);
  coap_add_option(request, COAP_OPTION_URI_PATH, strlen(path), (const uint8_t *)path);
  is_answered = is_good = 0;
  if (coap_send(session, request) == COAP_INVALID_MID) return 0;
  while (!is_answered) {
    int spent_ms = coap_io_process(context, ANSWER_AT_MOST_MS);
    if (spent_ms < 0 || spent_ms >= ANSWER_AT_MOST_MS) return 0;
  }
  return is_good;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: %s PORT PATH SECONDS\n", argv[0]);
    return 2;
  }
  coap_startup();
  coap_context_t *context = coap_new_context(NULL);
  coap_register_response_handler(context, on_response);
  coap_session_t *session = connect_to(context, atoi(argv[1]));
  double seconds = atof(argv[3]), started = now();
  long requests = 0, failed = 0, cpu = cpu_us();
  while (now() - started < seconds) {
    requests++;
    failed += !get(context, session, argv[2]);
  }
  printf("{\"requests\":%ld,\"failed\":%ld,\"seconds\":%.3f,\"cpu_us\":%ld}\n", requests, failed,
         now() - started, cpu_us() - cpu);
  coap_session_release(session);
  coap_free_context(context);
  coap_cleanup();
  return 0;
}
