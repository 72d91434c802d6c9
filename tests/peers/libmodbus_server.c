/* A Modbus server made of libmodbus, with traps.
 *
 *   libmodbus_server tcp            127.0.0.1, any port
 *   libmodbus_server rtu PATH BAUD  unit 1 on a serial port, 8N1
 *
 * The first line on stdout is JSON: {"listen": "127.0.0.1:PORT"} or {"listen": "PATH"}.
 *
 * Holding and input registers 0 to 6999 hold their own PDU address. A read that starts at one of
 * these holding registers is a trap:
 *
 *   1000  exception 6, three times of four
 *   2000  an answer with another transaction id before the right one; on a line, a stray byte
 *   3000  the right answer, half a second late
 *   4000  the right answer, byte by byte
 *   5000  a whole frame that holds one register fewer than asked for
 *   6000  an answer of another unit before the right one
 *
 * A write is answered by libmodbus and lasts.
 */
#include <errno.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REGISTERS = 7000, FRAME_MAX = 260, READ_HOLDING = 3 };

static int is_tcp;
static modbus_mapping_t *mapping;

static void die(const char *what) {
    fprintf(stderr, "libmodbus_server: %s: %s\n", what, modbus_strerror(errno));
    exit(1);
}

static uint16_t word(const uint8_t *bytes) { return (uint16_t)(bytes[0] << 8 | bytes[1]); }

static uint16_t crc(const uint8_t *bytes, int length) {
    uint16_t sum = 0xFFFF;
    for (int place = 0; place < length; place++) {
        sum ^= bytes[place];
        for (int bit = 0; bit < 8; bit++)
            sum = (sum & 1) ? (uint16_t)(sum >> 1 ^ 0xA001) : (uint16_t)(sum >> 1);
    }
    return sum;
}

/* A frame that answers a read of holding registers; gives its length. */
static int answer(uint8_t *frame, uint16_t transaction, uint8_t unit, uint16_t start,
                  uint16_t count) {
    int header = is_tcp ? 6 : 0;
    uint8_t *body = frame + header;
    int length = 3 + 2 * count;
    body[0] = unit;
    body[1] = READ_HOLDING;
    body[2] = (uint8_t)(2 * count);
    for (int place = 0; place < count; place++) {
        uint16_t value = mapping->tab_registers[start + place];
        body[3 + 2 * place] = (uint8_t)(value >> 8);
        body[4 + 2 * place] = (uint8_t)value;
    }
    if (is_tcp) {
        uint8_t mbap[6] = {(uint8_t)(transaction >> 8), (uint8_t)transaction, 0, 0,
                           (uint8_t)(length >> 8),      (uint8_t)length};
        memcpy(frame, mbap, sizeof mbap);
        return header + length;
    }
    uint16_t sum = crc(body, length);
    body[length] = (uint8_t)sum;
    body[length + 1] = (uint8_t)(sum >> 8);
    return length + 2;
}

static void put(int fd, const uint8_t *bytes, int length) {
    while (length > 0) {
        ssize_t written = write(fd, bytes, (size_t)length);
        if (written < 0)
            return; /* The client has gone; the next read says so. */
        bytes += written;
        length -= (int)written;
    }
}

static void reply(modbus_t *ctx, const uint8_t *request, int length) {
    static unsigned busy;
    int fd = modbus_get_socket(ctx);
    int header = modbus_get_header_length(ctx);
    const uint8_t *pdu = request + header;
    uint8_t unit = request[header - 1];
    uint16_t transaction = is_tcp ? word(request) : 0;
    uint16_t start = word(pdu + 1), count = word(pdu + 3);
    uint8_t frame[FRAME_MAX];
    int is_read = pdu[0] == READ_HOLDING && count >= 1 && count <= 125 && start + count <= REGISTERS;

    switch (is_read ? start : 0) {
    case 1000:
        if (++busy % 4 != 0) {
            modbus_reply_exception(ctx, request, MODBUS_EXCEPTION_SLAVE_OR_SERVER_BUSY);
            return;
        }
        break;
    case 2000:
        if (is_tcp)
            put(fd, frame, answer(frame, (uint16_t)(transaction + 0x1111), unit, start, count));
        else
            put(fd, (const uint8_t *)"\xFF", 1);
        break;
    case 3000:
        usleep(500000);
        break;
    case 4000: {
        int size = answer(frame, transaction, unit, start, count);
        for (int place = 0; place < size; place++) {
            put(fd, frame + place, 1);
            usleep(1000);
        }
        return;
    }
    case 5000:
        put(fd, frame, answer(frame, transaction, unit, start, (uint16_t)(count - 1)));
        return;
    case 6000:
        put(fd, frame,
            answer(frame, (uint16_t)(transaction + 0x1111), (uint8_t)(unit + 1), start, count));
        break;
    default:
        break;
    }
    modbus_reply(ctx, request, length, mapping);
}

static void serve_rtu(modbus_t *ctx, const char *path) {
    uint8_t request[MODBUS_RTU_MAX_ADU_LENGTH];
    if (modbus_set_slave(ctx, 1) || modbus_connect(ctx))
        die(path);
    printf("{\"listen\": \"%s\"}\n", path);
    fflush(stdout);
    for (;;) {
        int length = modbus_receive(ctx, request);
        if (length > 0)
            reply(ctx, request, length);
        else if (length < 0 && errno == EIO)
            die(path);
    }
}

static void serve_tcp(modbus_t *ctx) {
    uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
    int listener = modbus_tcp_listen(ctx, 8);
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&address, &size))
        die("listen");
    printf("{\"listen\": \"127.0.0.1:%d\"}\n", ntohs(address.sin_port));
    fflush(stdout);

    fd_set open_fds;
    FD_ZERO(&open_fds);
    FD_SET(listener, &open_fds);
    for (;;) {
        fd_set ready = open_fds;
        if (select(FD_SETSIZE, &ready, NULL, NULL, NULL) < 0)
            die("select");
        for (int fd = 0; fd < FD_SETSIZE; fd++) {
            if (!FD_ISSET(fd, &ready))
                continue;
            if (fd == listener) {
                int client = modbus_tcp_accept(ctx, &listener);
                if (client >= 0)
                    FD_SET(client, &open_fds);
                continue;
            }
            modbus_set_socket(ctx, fd);
            int length = modbus_receive(ctx, request);
            if (length > 0) {
                reply(ctx, request, length);
            } else if (length < 0) {
                close(fd);
                FD_CLR(fd, &open_fds);
            }
        }
    }
}

int main(int argc, char **argv) {
    is_tcp = argc == 2 && strcmp(argv[1], "tcp") == 0;
    if (!is_tcp && !(argc == 4 && strcmp(argv[1], "rtu") == 0)) {
        fprintf(stderr, "usage: libmodbus_server tcp | rtu PATH BAUD\n");
        return 2;
    }
    mapping = modbus_mapping_new(16, 16, REGISTERS, REGISTERS);
    if (!mapping)
        die("registers");
    for (int place = 0; place < REGISTERS; place++)
        mapping->tab_registers[place] = mapping->tab_input_registers[place] = (uint16_t)place;
    modbus_t *ctx = is_tcp ? modbus_new_tcp("127.0.0.1", 0)
                           : modbus_new_rtu(argv[2], atoi(argv[3]), 'N', 8, 1);
    if (!ctx)
        die("context");
    if (is_tcp)
        serve_tcp(ctx);
    else
        serve_rtu(ctx, argv[2]);
    return 0;
}
