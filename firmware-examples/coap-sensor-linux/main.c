/* A sensor on Linux that speaks CoAP over DTLS with a pre-shared key, by libcoap.
 *
 *   coap-sensor-linux HOST PORT IDENTITY KEYFILE     with DTLS
 *   coap-sensor-linux HOST PORT                      in plain, for a network that is nobody else's
 *
 * The key is the first line of KEYFILE: an argument could be read by everybody who lists processes.
 * Says on standard output where it listens. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resources.h"

/* Between two looks at the count: it changes every second. */
enum { LOOK_EVERY_MS = 100 };

/* A shorter one could be found by trying keys on a recorded handshake. */
enum { KEY_MIN = 16, KEY_MAX = 64 };

static volatile sig_atomic_t is_over;

static void stop(int number) {
  (void)number;
  is_over = 1;
}

static void fail(const char *what) {
  fprintf(stderr, "coap-sensor-linux: %s\n", what);
  exit(1);
}

static size_t read_key(const char *path, char key[KEY_MAX + 2]) {
  FILE *file = fopen(path, "r");
  if (file == NULL || fgets(key, KEY_MAX + 2, file) == NULL) fail("cannot read the key file");
  fclose(file);
  size_t length = strcspn(key, "\r\n");
  if (length < KEY_MIN || length > KEY_MAX) fail("a key has 16 to 64 characters");
  return length;
}

/* Whoever comes with another identity gets no key, and his handshake fails. */
static const coap_bin_const_t *key_for(coap_bin_const_t *identity, coap_session_t *session,
                                       void *argument) {
  const coap_dtls_spsk_info_t *known = argument;
  (void)session;
  return coap_binary_equal(identity, &known->hint) ? &known->key : NULL;
}

static void secure(coap_context_t *context, const char *identity, const char *key_file) {
  static coap_dtls_spsk_info_t known;
  static char key[KEY_MAX + 2];
  size_t length = read_key(key_file, key);
  if (!coap_dtls_is_supported()) fail("this libcoap has no DTLS; link libcoap-3-openssl");
  known.hint = (coap_bin_const_t){strlen(identity), (const uint8_t *)identity};
  known.key = (coap_bin_const_t){length, (const uint8_t *)key};
  coap_dtls_spsk_t setup = {
      .version = COAP_DTLS_SPSK_SETUP_VERSION,
      .validate_id_call_back = key_for,
      .id_call_back_arg = &known,
      .psk_info = {.hint = {0, (const uint8_t *)""}, .key = known.key},
  };
  if (!coap_context_set_psk2(context, &setup)) fail("libcoap takes no pre-shared key");
}

static void listen_on(coap_context_t *context, const char *host, const char *port,
                      coap_proto_t protocol) {
  coap_address_t address;
  coap_address_init(&address);
  address.addr.sin.sin_family = AF_INET;
  address.addr.sin.sin_port = htons((uint16_t)atoi(port));
  address.size = sizeof address.addr.sin;
  if (inet_pton(AF_INET, host, &address.addr.sin.sin_addr) != 1) fail("the host is no IPv4 address");
  if (coap_new_endpoint(context, &address, protocol) == NULL) fail("cannot bind the port");
  printf("{\"listen\":\"%s:%s\"}\n", host, port);
  fflush(stdout);
}

int main(int argc, char **argv) {
  bool is_secure = argc == 5;
  if (!is_secure && argc != 3) {
    fprintf(stderr, "usage: %s HOST PORT [IDENTITY KEYFILE]\n", argv[0]);
    return 2;
  }
  coap_startup();
  coap_context_t *context = coap_new_context(NULL);
  if (context == NULL) fail("no memory");
  coap_context_set_block_mode(context, COAP_BLOCK_USE_LIBCOAP | COAP_BLOCK_SINGLE_BODY);
  if (is_secure) secure(context, argv[3], argv[4]);
  coap_resource_t *observed = resources_add(context);
  listen_on(context, argv[1], argv[2], is_secure ? COAP_PROTO_DTLS : COAP_PROTO_UDP);
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  for (unsigned long last = count(); !is_over;) {
    if (coap_io_process(context, LOOK_EVERY_MS) < 0) fail("the network is gone");
    if (count() != last) {
      last = count();
      coap_resource_notify_observers(observed, NULL);
    }
  }
  coap_free_context(context);
  coap_cleanup();
  return 0;
}
