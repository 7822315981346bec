/* An instant OpenAI: answers every POST with 583 bytes of JSON and 19 headers, or with 100 SSE events.
 *
 * One thread, epoll, keep-alive; about 6 us a request, so that it is never the limit of what stands before it.
 * A body with "stream":true gets 100 events of 294 bytes, each an HTTP chunk and a packet of its own: without a pause (all
 * running streams in turn, one event each), or, when the body also holds `bench-paced`, one each 10 ms, each stream in a
 * phase of its own: models do not speak in chorus, so every event is a wake-up of its own for who relays it. With
 * "include_usage":true it does as OpenAI does: every event has a member "usage":null more, and one with the usage stands
 * before [DONE].
 *
 * Prints "port N" and serves until it is killed. Listens on loopback only.
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

enum { EVENTS = 100, EVENT_BYTES = 294, BODY_BYTES = 583, MAX_CONNECTIONS = 4096, BUFFER = 65536, PHASES = 24 };
static const long PACE_NS = 10 * 1000 * 1000;

struct connection {
    int used;              /* bytes in `buffer` */
    int sent;              /* events of the running stream that went out; -1: no stream runs */
    int is_paced, has_usage;
    long next_ns;          /* when the next event is due */
    char buffer[BUFFER];
};

static struct connection *connections[MAX_CONNECTIONS];
static int running[MAX_CONNECTIONS], running_count; /* descriptors of running streams */
static char answer[2048], head[1024], event_plain[512], event_null[512], last_usage[512];
static int answer_bytes, head_bytes, event_plain_bytes, event_null_bytes, last_usage_bytes;
static const char END[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";

static const char HEADERS[] =
    "date: Sat, 21 Nov 2026 09:00:00 GMT\r\n"
    "access-control-expose-headers: X-Request-ID\r\n"
    "openai-organization: org-bench\r\n"
    "openai-processing-ms: 12\r\n"
    "openai-project: proj_bench\r\n"
    "openai-version: 2020-10-01\r\n"
    "x-ratelimit-limit-requests: 10000\r\n"
    "x-ratelimit-limit-tokens: 30000000\r\n"
    "x-ratelimit-remaining-requests: 9999\r\n"
    "x-ratelimit-remaining-tokens: 29999000\r\n"
    "x-ratelimit-reset-requests: 6ms\r\n"
    "x-ratelimit-reset-tokens: 2ms\r\n"
    "x-request-id: req_0123456789abcdef0123456789abcdef\r\n"
    "strict-transport-security: max-age=31536000; includeSubDomains; preload\r\n"
    "cf-cache-status: DYNAMIC\r\n"
    "x-content-type-options: nosniff\r\n"
    "server: cloudflare\r\n";

static long now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000L + at.tv_nsec;
}

/* Fills `into` with `template`, whose one %s takes as many x as make it `bytes` long. */
static void padded(char *into, const char *template, int bytes) {
    char filler[1024];
    int count = bytes - ((int)strlen(template) - 2);
    memset(filler, 'x', count);
    filler[count] = 0;
    sprintf(into, template, filler);
}

static int chunk(char *into, const char *text) { return sprintf(into, "%zx\r\n%s\r\n", strlen(text), text); }

static void make_texts(void) {
    char text[1024], wide[1100];
    padded(text,
           "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1800000000,\"model\":\"gpt-4\",\"choices\":[{\"index\":0,"
           "\"message\":{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
           "\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":40,\"total_tokens\":160},\"system_fingerprint\":\"fp_bench\"}",
           BODY_BYTES);
    answer_bytes = sprintf(answer, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s\r\n%s",
                           BODY_BYTES, HEADERS, text);
    head_bytes = sprintf(head, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                               "transfer-encoding: chunked\r\n%s\r\n", HEADERS);
    padded(text,
           "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1800000000,\"model\":\"gpt-4\","
           "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
           EVENT_BYTES);
    event_plain_bytes = chunk(event_plain, text);
    text[EVENT_BYTES - 3] = 0; /* without "}\n\n" */
    sprintf(wide, "%s,\"usage\":null}\n\n", text);
    event_null_bytes = chunk(event_null, wide);
    last_usage_bytes = chunk(last_usage,
           "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1800000000,\"model\":\"gpt-4\","
           "\"choices\":[],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":100,\"total_tokens\":220}}\n\n");
}

static void forget(int fd) {
    for (int i = 0; i < running_count; i++)
        if (running[i] == fd) {
            running[i] = running[--running_count];
            break;
        }
    free(connections[fd]);
    connections[fd] = NULL;
    close(fd);
}

/* 0 when the other side has gone. Small writes on loopback: a socket that is full waits here. */
static int put(int fd, const char *text, int bytes) {
    while (bytes > 0) {
        ssize_t n = send(fd, text, bytes, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) continue;
            return 0;
        }
        text += n;
        bytes -= n;
    }
    return 1;
}

static int put_event(int fd, struct connection *c) {
    int ok = c->has_usage ? put(fd, event_null, event_null_bytes) : put(fd, event_plain, event_plain_bytes);
    if (ok && ++c->sent == EVENTS) {
        if (c->has_usage) ok = put(fd, last_usage, last_usage_bytes);
        ok = ok && put(fd, END, sizeof END - 1);
        c->sent = -1;
    }
    return ok;
}

static int begin_stream(int fd, struct connection *c) {
    c->sent = 0;
    if (!put(fd, head, head_bytes)) return 0;
    running[running_count++] = fd;
    static int phase;
    c->next_ns = now_ns() + (c->is_paced ? phase++ % PHASES * (PACE_NS / PHASES) : 0);
    return 1;
}

/* Answers every whole request in the buffer. 0 when the connection is to be closed. */
static int serve(int fd, struct connection *c) {
    while (c->used > 0 && c->sent < 0) {
        char *end = memmem(c->buffer, c->used, "\r\n\r\n", 4);
        if (!end) return c->used < BUFFER;
        *end = 0; /* makes the head a string */
        char *length = strcasestr(c->buffer, "\r\ncontent-length:");
        int body = length ? atoi(length + 17) : 0;
        *end = '\r';
        int total = (int)(end - c->buffer) + 4 + body;
        if (total > BUFFER) return 0;
        if (c->used < total) return 1;
        char *text = end + 4;
        int is_stream = memmem(text, body, "\"stream\":true", 13) != NULL;
        c->is_paced = is_stream && memmem(text, body, "bench-paced", 11) != NULL;
        c->has_usage = is_stream && memmem(text, body, "\"include_usage\":true", 20) != NULL;
        memmove(c->buffer, c->buffer + total, c->used - total);
        c->used -= total;
        if (is_stream ? !begin_stream(fd, c) : !put(fd, answer, answer_bytes)) return 0;
    }
    return 1;
}

static int take(int fd, struct connection *c) {
    ssize_t n = recv(fd, c->buffer + c->used, BUFFER - c->used, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return 0;
    if (n > 0) c->used += n;
    return serve(fd, c);
}

/* Sends every running stream one event that is due; gives the nanoseconds until the next event is, -1 for none. */
static long pace(void) {
    long now = now_ns(), soonest = -1;
    for (int i = running_count - 1; i >= 0; i--) {
        int fd = running[i];
        struct connection *c = connections[fd];
        if (c->next_ns <= now) {
            if (!put_event(fd, c)) {
                forget(fd);
                continue;
            }
            if (c->sent < 0) {
                running[i] = running[--running_count];
                if (!serve(fd, c)) forget(fd);
                continue;
            }
            if (c->is_paced) c->next_ns += PACE_NS;
        }
        if (soonest < 0 || c->next_ns < soonest) soonest = c->next_ns;
    }
    if (soonest < 0) return -1;
    return soonest <= now ? 0 : soonest - now;
}

static void welcome(int listener, int poller) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, 0)) >= 0) {
        int on = 1;
        if (fd >= MAX_CONNECTIONS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections[fd] = calloc(1, sizeof(struct connection));
        connections[fd]->sent = -1;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poller = epoll_create1(0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024)) {
        perror("listen");
        return 1;
    }
    getsockname(listener, (struct sockaddr *)&address, &size);
    make_texts();
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &wanted);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        long wait_ns = pace();
        struct timespec wait = {wait_ns / 1000000000, wait_ns % 1000000000};
        int count = epoll_pwait2(poller, events, 256, wait_ns < 0 ? NULL : &wait, NULL);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                welcome(listener, poller);
            else if (connections[fd] && !take(fd, connections[fd]))
                forget(fd);
        }
    }
}
