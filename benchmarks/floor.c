/* The floor: the least that a program can do that reads the same registers and publishes the same values.
 *
 * One thread, no library, no store, no compression, no report by exception, no recovery: polls every device with
 * pipelined Modbus TCP reads and publishes one MQTT message (QoS 1) per poll, in the gateway's own payload, so that the
 * same subscriber verifies it. What a gateway costs above this is the price of everything else it does.
 *
 *   floor BROKER_PORT SCAN_MS REGISTERS IN_FLIGHT < devices        (lines: port, unit, schema id in hex)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_READ = 125, REQUEST = 12, ANSWER_HEAD = 9, MAX_REGISTERS = 30000, MAX_UNACKED = 1000 };

struct device {
    int socket, unit;
    uint8_t schema[8];
    int asked, answered;             /* blocks of the present poll; answered == blocks: idle */
    size_t held;                     /* bytes of `input` that wait for more */
    uint8_t input[8192], registers[2 * MAX_REGISTERS];
};

static volatile sig_atomic_t ending;
static int registers, width, blocks, in_flight, broker, epoll;
static uint64_t epoch, sequence;
static int unacked;

static void on_signal(int number) { (void)number; ending = 1; }

static void die(const char *what) { perror(what); exit(1); }

static uint64_t now_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int dial(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void send_all(int fd, const uint8_t *data, size_t size) {
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) die("send");
        data += sent;
        size -= (size_t)sent;
    }
}

static uint8_t *put(uint8_t *at, uint64_t value, int bytes) {
    while (bytes--) *at++ = (uint8_t)(value >> (8 * bytes));
    return at;
}

/* Requests up to the number that may be in flight, in one write. */
static void ask(struct device *device) {
    uint8_t data[REQUEST * 256], *at = data;
    while (device->asked < blocks && device->asked - device->answered < in_flight && device->asked < 256) {
        at = put(at, (uint64_t)device->asked, 2);
        at = put(at, 0, 2);
        at = put(at, 6, 2);
        *at++ = (uint8_t)device->unit;
        *at++ = 3;
        at = put(at, (uint64_t)(device->asked * width), 2);
        at = put(at, (uint64_t)width, 2);
        device->asked++;
    }
    if (at != data) send_all(device->socket, data, (size_t)(at - data));
}

/* PUBLISH of one frame: [1, "bench", epoch, seq, 0, 1, zstd([[frame], []])], the zstd frame being one raw block. */
static void publish(const struct device *device) {
    static const char topic[] = "xingsha/v1/bench/data";
    static uint8_t packet[2 * MAX_REGISTERS + 256];
    uint32_t values = 2u * (uint32_t)registers;
    uint32_t content = 2 + 1 + 10 + 9 + 1 + 3 + values + 3 + 1 + 1; /* MessagePack of the body */
    uint32_t body = 4 + 1 + 4 + 3 + content;                        /* zstd: magic, descriptor, size, block head */
    uint32_t payload = 1 + 1 + 6 + 9 + 9 + 1 + 1 + 3 + body;
    uint32_t remaining = 2 + sizeof topic - 1 + 2 + payload;
    uint8_t *at = packet;
    *at++ = 0x32;
    for (uint32_t rest = remaining;; rest >>= 7) {
        *at++ = (uint8_t)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
        if (rest <= 0x7f) break;
    }
    at = put(at, sizeof topic - 1, 2);
    at = (uint8_t *)memcpy(at, topic, sizeof topic - 1) + sizeof topic - 1;
    at = put(at, sequence % 65535 + 1, 2);
    sequence++;
    at = put(at, 0x9701a5, 3);
    at = (uint8_t *)memcpy(at, "bench", 5) + 5;
    *at++ = 0xcf; at = put(at, epoch, 8);
    *at++ = 0xcf; at = put(at, sequence, 8);
    at = put(at, 0x0001c5, 3); at = put(at, body, 2);
    at = put(at, 0x28b52ffda0, 5);
    for (int byte = 0; byte < 4; byte++) *at++ = (uint8_t)(content >> (8 * byte));
    for (int byte = 0; byte < 3; byte++) *at++ = (uint8_t)((content << 3 | 1) >> (8 * byte));
    at = put(at, 0x929197c408, 5);
    at = (uint8_t *)memcpy(at, device->schema, 8) + 8;
    *at++ = 0xcf; at = put(at, now_ns(CLOCK_REALTIME), 8);
    at = put(at, 0x91c5, 2); at = put(at, values, 2);
    for (uint32_t place = 0; place < values; place += 2) {
        *at++ = device->registers[place + 1];
        *at++ = device->registers[place];
    }
    at = put(at, 0xc0c0c000, 4);
    *at++ = 0x90;
    send_all(broker, packet, (size_t)(at - packet));
    unacked++;
}

/* Answers of one device; returns 1 when its poll is complete. */
static int take(struct device *device) {
    ssize_t got = recv(device->socket, device->input + device->held, sizeof device->input - device->held, 0);
    if (got <= 0) die("device");
    device->held += (size_t)got;
    size_t answer = (size_t)(ANSWER_HEAD + 2 * width), at = 0;
    for (; device->held - at >= answer; at += answer) {
        const uint8_t *head = device->input + at;
        if (head[7] != 3 || head[8] != (uint8_t)(2 * width) || head[1] != (uint8_t)device->answered) die("answer");
        memcpy(device->registers + device->answered * 2 * width, head + ANSWER_HEAD, 2 * (size_t)width);
        device->answered++;
    }
    memmove(device->input, device->input + at, device->held -= at);
    if (device->answered == blocks) return 1;
    if (at) ask(device);
    return 0;
}

static void acknowledged(void) {
    static uint8_t data[4096];
    static size_t held;
    ssize_t got = recv(broker, data + held, sizeof data - held, 0);
    if (got <= 0) die("broker");
    held += (size_t)got;
    unacked -= (int)(held / 4);
    memmove(data, data + held / 4 * 4, held % 4);
    held %= 4;
}

static void watch(int fd, void *owner) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = owner};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

static void start(struct device *device) {
    device->asked = device->answered = 0;
    ask(device);
}

int main(int count, char **arguments) {
    static const uint8_t hello[] = {0x10, 17, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 5, 'f', 'l', 'o', 'o', 'r'};
    uint8_t welcome[4];
    if (count != 5) { fprintf(stderr, "usage: floor BROKER_PORT SCAN_MS REGISTERS IN_FLIGHT < devices\n"); return 2; }
    uint64_t period = strtoull(arguments[2], NULL, 10) * 1000000u;
    registers = atoi(arguments[3]);
    in_flight = atoi(arguments[4]);
    width = registers < LONGEST_READ ? registers : LONGEST_READ;
    blocks = registers / width;
    if (registers < 2 || registers > MAX_REGISTERS || blocks > 255 || in_flight < 1) return 2;
    signal(SIGTERM, on_signal);
    epoch = now_ns(CLOCK_REALTIME);
    broker = dial(atoi(arguments[1]));
    send_all(broker, hello, sizeof hello);
    if (recv(broker, welcome, 4, MSG_WAITALL) != 4 || welcome[3]) die("CONNACK");
    epoll = epoll_create1(0);
    watch(broker, NULL);
    struct device *devices = NULL;
    int size = 0, port, unit;
    unsigned long long id;
    for (; scanf("%d %d %16llx", &port, &unit, &id) == 3; size++) {
        devices = realloc(devices, sizeof *devices * (size_t)(size + 1));
        if (!devices) die("memory");
        memset(devices + size, 0, sizeof *devices);
        devices[size].socket = dial(port);
        devices[size].unit = unit;
        put(devices[size].schema, id, 8);
        devices[size].answered = blocks;
    }
    for (int each = 0; each < size; each++) watch(devices[each].socket, devices + each);
    uint64_t due = now_ns(CLOCK_MONOTONIC);
    int waiting = 1;                 /* all are idle and wait for the next tick, or for the broker */
    while (!ending) {
        uint64_t now = now_ns(CLOCK_MONOTONIC);
        if (now >= due && (period || waiting) && unacked < MAX_UNACKED) {
            waiting = 0;
            for (int each = 0; each < size; each++)
                if (devices[each].answered == blocks) start(devices + each);
            while (period && due <= now) due += period;
        }
        struct epoll_event events[256];
        int wait = period && due > now ? (int)((due - now + 999999) / 1000000) : 100;
        int ready = epoll_wait(epoll, events, 256, wait);
        for (int each = 0; each < ready; each++) {
            struct device *device = events[each].data.ptr;
            if (!device) { acknowledged(); continue; }
            if (!take(device)) continue;
            publish(device);
            if (!period && unacked < MAX_UNACKED) start(device);
            else waiting = 1;
        }
    }
    while (unacked > 0) acknowledged();
    return 0;
}
