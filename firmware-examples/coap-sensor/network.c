/* ARP, IPv4, ICMP echo and UDP, each in the few lines that are needed. */
#include "network.h"

#include <string.h>

#include "bytes.h"
#include "lan9118.h"
#include "random.h"

enum { TYPE_IPV4 = 0x0800, TYPE_ARP = 0x0806, PROTOCOL_ICMP = 1, PROTOCOL_UDP = 17 };
enum { ARP_REQUEST = 1, ARP_REPLY = 2, ICMP_ECHO = 8 };
enum { ETHERNET_HEADER = 14, IP_HEADER = 20, UDP_HEADER = 8, ARP_LENGTH = 28, ICMP_HEADER = 8 };
enum { IP_AT = ETHERNET_HEADER, PAYLOAD_AT = IP_AT + IP_HEADER, UDP_DATA_AT = PAYLOAD_AT + UDP_HEADER };
enum { TIME_TO_LIVE = 64, FRAGMENT_OR_MORE = 0x3FFF, VERSION_4_NO_OPTIONS = 0x45 };

/* A gateway, a technician and one to spare; the oldest gives way. */
enum { NEIGHBOURS = 4 };

static const uint8_t own_ethernet[ETHERNET_ADDRESS_LENGTH] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
static uint32_t own_ip;
static struct neighbour {
  uint32_t ip;
  uint8_t ethernet[ETHERNET_ADDRESS_LENGTH];
} neighbours[NEIGHBOURS];
static size_t next_neighbour;

/* Frames that are handled in one turn: even under a flood the clock's work is done in between. */
enum { FRAMES_A_TURN = 16 };

/* Both directions go through these two, and neither is needed while the other is used. */
static uint8_t incoming[ETHERNET_FRAME_MAX], outgoing[ETHERNET_FRAME_MAX];

/* The sum of RFC 1071; over bytes that contain a right one it is 0. */
static uint16_t check_sum(const uint8_t *bytes, size_t length, uint32_t sum) {
  for (size_t i = 0; i + 1 < length; i += 2) sum += get16(bytes + i);
  if (length % 2 == 1) sum += (uint32_t)bytes[length - 1] << 8;
  while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
  return (uint16_t)~sum;
}

static uint32_t pseudo_header(uint32_t from, uint32_t to, size_t length) {
  return (from >> 16) + (from & 0xFFFF) + (to >> 16) + (to & 0xFFFF) + PROTOCOL_UDP +
         (uint32_t)length;
}

static struct neighbour *find(uint32_t ip) {
  for (size_t i = 0; i < NEIGHBOURS; i++) {
    if (neighbours[i].ip == ip) return &neighbours[i];
  }
  return NULL;
}

static void learn(uint32_t ip, const uint8_t *ethernet) {
  struct neighbour *known = find(ip);
  if (known == NULL) {
    known = &neighbours[next_neighbour];
    next_neighbour = (next_neighbour + 1) % NEIGHBOURS;
  }
  known->ip = ip;
  memcpy(known->ethernet, ethernet, sizeof known->ethernet);
}

static void put_ethernet(const uint8_t *to, uint16_t type) {
  memcpy(outgoing, to, ETHERNET_ADDRESS_LENGTH);
  memcpy(outgoing + 6, own_ethernet, ETHERNET_ADDRESS_LENGTH);
  put16(outgoing + 12, type);
}

static void send_arp(uint16_t operation, const uint8_t *to_ethernet, uint32_t to_ip) {
  static const uint8_t ipv4_on_ethernet[] = {0, 1, 8, 0, 6, 4};
  static const uint8_t everybody[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
  uint8_t *arp = outgoing + ETHERNET_HEADER;
  put_ethernet(operation == ARP_REQUEST ? everybody : to_ethernet, TYPE_ARP);
  memcpy(arp, ipv4_on_ethernet, sizeof ipv4_on_ethernet);
  put16(arp + 6, operation);
  memcpy(arp + 8, own_ethernet, ETHERNET_ADDRESS_LENGTH);
  put32(arp + 14, own_ip);
  memcpy(arp + 18, to_ethernet, ETHERNET_ADDRESS_LENGTH);
  put32(arp + 24, to_ip);
  ethernet_send(outgoing, ETHERNET_HEADER + ARP_LENGTH);
}

static void handle_arp(size_t length) {
  const uint8_t *arp = incoming + ETHERNET_HEADER;
  if (length < ETHERNET_HEADER + ARP_LENGTH || get32(arp + 24) != own_ip) return;
  uint16_t operation = get16(arp + 6);
  learn(get32(arp + 14), arp + 8);
  if (operation == ARP_REQUEST) send_arp(ARP_REPLY, arp + 8, get32(arp + 14));
}

/* Finishes and sends the packet whose payload stands in `outgoing`. */
static void send_ip(uint8_t protocol, const uint8_t *to_ethernet, uint32_t to_ip, size_t payload) {
  static uint16_t identification;
  uint8_t *ip = outgoing + IP_AT;
  put_ethernet(to_ethernet, TYPE_IPV4);
  memset(ip, 0, IP_HEADER);
  ip[0] = VERSION_4_NO_OPTIONS;
  put16(ip + 2, (uint16_t)(IP_HEADER + payload));
  put16(ip + 4, identification++);
  ip[8] = TIME_TO_LIVE;
  ip[9] = protocol;
  put32(ip + 12, own_ip);
  put32(ip + 16, to_ip);
  put16(ip + 10, check_sum(ip, IP_HEADER, 0));
  ethernet_send(outgoing, PAYLOAD_AT + payload);
}

static void handle_echo(size_t payload) {
  const uint8_t *request = incoming + PAYLOAD_AT;
  uint8_t *reply = outgoing + PAYLOAD_AT;
  if (payload < ICMP_HEADER || request[0] != ICMP_ECHO || check_sum(request, payload, 0) != 0) return;
  memcpy(reply, request, payload);
  reply[0] = 0;
  put16(reply + 2, 0);
  put16(reply + 2, check_sum(reply, payload, 0));
  send_ip(PROTOCOL_ICMP, incoming + 6, get32(incoming + IP_AT + 12), payload);
}

static void handle_udp(size_t payload, uint16_t port,
                       void (*receive)(struct endpoint, const uint8_t *, size_t)) {
  const uint8_t *udp = incoming + PAYLOAD_AT;
  uint32_t from = get32(incoming + IP_AT + 12);
  if (payload < UDP_HEADER) return;
  size_t length = get16(udp + 4);
  if (get16(udp + 2) != port || length < UDP_HEADER || length > payload) return;
  /* 0 says that the sender has computed none. */
  if (get16(udp + 6) != 0 && check_sum(udp, length, pseudo_header(from, own_ip, length)) != 0) return;
  struct endpoint sender = {from, get16(udp)};
  receive(sender, udp + UDP_HEADER, length - UDP_HEADER);
}

static void handle_ip(size_t length, uint16_t port,
                      void (*receive)(struct endpoint, const uint8_t *, size_t)) {
  const uint8_t *ip = incoming + IP_AT;
  if (length < PAYLOAD_AT || ip[0] != VERSION_4_NO_OPTIONS || check_sum(ip, IP_HEADER, 0) != 0) return;
  size_t total = get16(ip + 2);
  if (total < IP_HEADER || total > length - IP_AT) return;
  if ((get16(ip + 6) & FRAGMENT_OR_MORE) != 0 || get32(ip + 16) != own_ip) return;
  /* Who speaks to us can be answered without a question. */
  learn(get32(ip + 12), incoming + 6);
  if (ip[9] == PROTOCOL_ICMP) handle_echo(total - IP_HEADER);
  if (ip[9] == PROTOCOL_UDP) handle_udp(total - IP_HEADER, port, receive);
}

bool network_open(uint32_t own_address) {
  own_ip = own_address;
  return ethernet_open(own_ethernet);
}

void network_handle(uint16_t port, void (*receive)(struct endpoint, const uint8_t *, size_t)) {
  for (int frames = 0; frames < FRAMES_A_TURN; frames++) {
    size_t length = ethernet_receive(incoming);
    if (length == 0) return;
    if (length < ETHERNET_HEADER) continue;
    random_stir(ethernet_cycles());
    uint16_t type = get16(incoming + 12);
    if (type == TYPE_ARP) handle_arp(length);
    if (type == TYPE_IPV4) handle_ip(length, port, receive);
  }
}

bool network_finds(uint32_t address) {
  static const uint8_t nobody[ETHERNET_ADDRESS_LENGTH];
  if (find(address) != NULL) return true;
  send_arp(ARP_REQUEST, nobody, address);
  return false;
}

void network_send(struct endpoint to, uint16_t from_port, const uint8_t *bytes, size_t length) {
  uint8_t *udp = outgoing + PAYLOAD_AT;
  if (length > DATAGRAM_MAX || !network_finds(to.address)) return;
  put16(udp, from_port);
  put16(udp + 2, to.port);
  put16(udp + 4, (uint16_t)(UDP_HEADER + length));
  put16(udp + 6, 0);
  memcpy(outgoing + UDP_DATA_AT, bytes, length);
  uint16_t sum = check_sum(udp, UDP_HEADER + length,
                           pseudo_header(own_ip, to.address, UDP_HEADER + length));
  /* On the wire 0 would say that there is none; all ones are the same sum. */
  put16(udp + 6, sum == 0 ? 0xFFFF : sum);
  send_ip(PROTOCOL_UDP, find(to.address)->ethernet, to.address, UDP_HEADER + length);
}
