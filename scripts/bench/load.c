/* A load generator: `load PORT CONNECTIONS SECONDS RATE KEY BODY-FILE`, loopback only.
 *
 * RATE 0: closed loop, every connection asks again as soon as its answer is whole. RATE n: open loop, n requests a second
 * on whichever connection is free. Stops asking after SECONDS, waits for the answers under way, prints one line of JSON:
 * calls that came back whole with 200, errors, SSE events, latency and time to first event in us, the seconds it took.
 * It reads what a client must (status, length or chunks, events) and no more: about 3 us a request.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 2048, BUFFER = 1 << 17, MAX_SAMPLES = 1 << 21 };
enum phase { IDLE, HEAD, LENGTH, SIZE, CHUNK, CHUNK_END, LAST };

struct connection {
    int fd, used, status;
    enum phase phase;
    long left;             /* bytes of the body or chunk still to come */
    long started_ns, first_ns;
    char last;             /* the body's byte before: an event ends at the second newline */
    char buffer[BUFFER];
};

static struct connection *connections[MAX_CONNECTIONS];
static char request[1 << 16];
static int request_bytes, port, poller, connection_count;
static long calls, errors, events_seen, due;
static float *latency_us, *first_us;
static long samples, firsts;

static long now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000L + at.tv_nsec;
}

static void connect_to(struct connection *c) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) {
        perror("connect");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
    c->used = 0;
    c->phase = IDLE;
}

static void ask(struct connection *c) {
    c->phase = HEAD;
    c->used = 0;
    c->started_ns = now_ns();
    c->first_ns = 0;
    if (send(c->fd, request, request_bytes, MSG_NOSIGNAL) != request_bytes) c->status = 0; /* its reset will be read */
}

static void fail(struct connection *c) {
    if (c->phase != IDLE) errors++;
    close(c->fd);
    connect_to(c);
}

static void finish(struct connection *c) {
    long now = now_ns();
    if (c->status == 200) {
        calls++;
        if (samples < MAX_SAMPLES) latency_us[samples++] = (now - c->started_ns) / 1000.0f;
        if (c->first_ns && firsts < MAX_SAMPLES) first_us[firsts++] = (c->first_ns - c->started_ns) / 1000.0f;
    } else {
        if (!errors) fprintf(stderr, "first error: %.*s\n", c->used < 600 ? c->used : 600, c->buffer);
        errors++;
    }
    c->phase = IDLE;
}

static void count_events(struct connection *c, const char *text, long bytes) {
    for (long i = 0; i < bytes; i++) {
        if (text[i] == '\n' && c->last == '\n') {
            events_seen++;
            if (!c->first_ns) c->first_ns = now_ns();
        }
        c->last = text[i];
    }
}

/* Takes one step through `text`; gives the bytes used up, 0 when more must come, -1 when it is not HTTP. */
static long step(struct connection *c, char *text, long bytes) {
    char *end;
    long used;
    switch (c->phase) {
    case HEAD:
        if (!(end = memmem(text, bytes, "\r\n\r\n", 4))) return 0;
        *end = 0;
        c->status = strncmp(text, "HTTP/1.1 ", 9) ? 0 : atoi(text + 9);
        char *length = strcasestr(text, "\r\ncontent-length:");
        int is_chunked = strcasestr(text, "\r\ntransfer-encoding: chunked") != NULL;
        if (!length && !is_chunked) return -1;
        c->phase = is_chunked ? SIZE : LENGTH;
        c->left = length ? atol(length + 17) : 0;
        c->last = 0;
        if (c->phase == LENGTH && c->left == 0) finish(c);
        return end - text + 4;
    case LENGTH:
        used = bytes < c->left ? bytes : c->left;
        if ((c->left -= used) == 0) finish(c);
        return used;
    case SIZE:
        if (!(end = memmem(text, bytes, "\r\n", 2))) return 0;
        c->left = strtol(text, NULL, 16);
        c->phase = c->left ? CHUNK : LAST;
        return end - text + 2;
    case CHUNK:
        used = bytes < c->left ? bytes : c->left;
        count_events(c, text, used);
        if ((c->left -= used) == 0) c->phase = CHUNK_END;
        return used;
    case CHUNK_END:
        if (bytes < 2) return 0;
        c->phase = SIZE;
        return 2;
    case LAST:
        if (bytes < 2) return 0;
        finish(c);
        return 2;
    case IDLE:
        break;
    }
    return -1; /* bytes that nobody asked for */
}

static void take(struct connection *c) {
    ssize_t n = recv(c->fd, c->buffer + c->used, BUFFER - c->used, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        fail(c);
        return;
    }
    long at = 0, bytes = c->used + n, used;
    while (at < bytes && (used = step(c, c->buffer + at, bytes - at)) != 0) {
        if (used < 0) {
            fail(c);
            return;
        }
        at += used;
    }
    memmove(c->buffer, c->buffer + at, bytes - at);
    c->used = bytes - at;
}

static int by_value(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

static float percentile(float *values, long count, double share) {
    return count ? values[(long)(share * (count - 1))] : 0;
}

static void read_request(const char *key, const char *path) {
    char body[1 << 15];
    FILE *file = fopen(path, "rb");
    size_t bytes = file ? fread(body, 1, sizeof body, file) : 0;
    request_bytes = sprintf(request,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
        "Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: bench/1\r\n"
        "Content-Length: %zu\r\n\r\n", port, key, bytes);
    memcpy(request + request_bytes, body, bytes);
    request_bytes += bytes;
    if (file) fclose(file);
}

/* Asks on idle connections: on all of them, or on as many as are due at `rate`. Returns how many calls are under way. */
static int drive(long started_ns, long end_ns, double rate) {
    long now = now_ns();
    int running = 0;
    for (int i = 0; i < connection_count; i++) {
        struct connection *c = connections[i];
        int may_ask = now < end_ns && (rate == 0 || due < (now - started_ns) * rate / 1e9);
        if (c->phase == IDLE && may_ask) {
            ask(c);
            due++;
        }
        running += c->phase != IDLE;
    }
    return running;
}

int main(int count, char **words) {
    if (count != 7) return 2;
    port = atoi(words[1]);
    connection_count = atoi(words[2]);
    double seconds = atof(words[3]), rate = atof(words[4]);
    if (connection_count > MAX_CONNECTIONS) return 2;
    read_request(words[5], words[6]);
    latency_us = malloc(sizeof(float) * MAX_SAMPLES);
    first_us = malloc(sizeof(float) * MAX_SAMPLES);
    poller = epoll_create1(0);
    for (int i = 0; i < connection_count; i++) connect_to(connections[i] = calloc(1, sizeof(struct connection)));
    long started = now_ns(), end = started + (long)(seconds * 1e9), give_up = end + 10000000000L;
    struct epoll_event events[256];
    while (drive(started, end, rate) || now_ns() < end) {
        if (now_ns() > give_up) break;
        int ready = epoll_wait(poller, events, 256, rate ? 1 : 100);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            take(c);
            if (c->phase == IDLE && rate == 0 && now_ns() < end) ask(c);
        }
    }
    double took = (now_ns() - started) / 1e9;
    qsort(latency_us, samples, sizeof(float), by_value);
    qsort(first_us, firsts, sizeof(float), by_value);
    printf("{\"calls\":%ld,\"errors\":%ld,\"events\":%ld,\"seconds\":%.4f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"first_p50_us\":%.1f}\n", calls, errors, events_seen, took, percentile(latency_us, samples, 0.5),
           percentile(latency_us, samples, 0.99), percentile(first_us, firsts, 0.5));
    return 0;
}
