/* The worker for plain C on libzmq, the limit that a binding can approach; it obeys peer.py's orders.
 *
 * It sends with zmq_send, which copies once, and receives with zmq_msg_recv, which does not copy.
 * A batched call does not exist in C: a plain loop is the same thing.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define SLOTS 128

static void *sockets[SLOTS];
static const char *order;

static void fail(const char *what)
{
    fprintf(stderr, "c_peer: %s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

static void check(int result, const char *what)
{
    if (result < 0)
        fail(what);
}

/* The text behind "key": in the order. The orders are flat and written by workers.py without
 * spaces or escapes, so that this is all the JSON that is needed. */
static const char *find(const char *key)
{
    char quoted[40];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(order, quoted);
    if (!at) {
        fprintf(stderr, "c_peer: no %s in %s\n", key, order);
        exit(1);
    }
    return at + strlen(quoted);
}

static long number(const char *key)
{
    return strtol(find(key), NULL, 10);
}

static void text(const char *key, char *into)
{
    if (sscanf(find(key), "\"%255[^\"]\"", into) != 1)
        fail(key);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say_ready(void)
{
    puts("{\"ready\":true}");
    fflush(stdout);
}

struct parcel {
    size_t size;
    int parts;
    char *item, *last;
};

static char *content(size_t size, char mark)
{
    char *bytes = calloc(1, size);
    if (!bytes)
        fail("calloc");
    bytes[0] = bytes[size - 1] = mark;
    return bytes;
}

static inline void send_one(void *s, const struct parcel *p, const char *bytes)
{
    for (int part = p->parts; part > 0; part--)
        check(zmq_send(s, bytes, p->size, part > 1 ? ZMQ_SNDMORE : 0), "send");
}

static inline int is_data(zmq_msg_t *msg, const struct parcel *p, const char *bytes)
{
    return zmq_msg_size(msg) == p->size && !memcmp(zmq_msg_data(msg), bytes, p->size);
}

/* Receives one message and, where `expected` is given, compares every part with it. */
static inline void recv_one(void *s, const struct parcel *p, const char *expected)
{
    for (int part = p->parts; part > 0; part--) {
        zmq_msg_t msg;
        zmq_msg_init(&msg);
        check(zmq_msg_recv(&msg, s, 0), "recv");
        if (zmq_msg_more(&msg) != (part > 1) || (expected && !is_data(&msg, p, expected))) {
            fprintf(stderr, "c_peer: the last message is not the one expected\n");
            exit(1);
        }
        zmq_msg_close(&msg);
    }
}

/* What one SUB hears before the clock runs: a first message, or all up to the last one. */
static void hear(void *s, const struct parcel *p, int up_to_last)
{
    int found;
    do {
        zmq_msg_t msg;
        zmq_msg_init(&msg);
        check(zmq_msg_recv(&msg, s, 0), "recv");
        found = !up_to_last || is_data(&msg, p, p->last);
        zmq_msg_close(&msg);
    } while (!found);
}

static void receive_nothing(void *s)
{
    zmq_msg_t msg;
    zmq_msg_init(&msg);
    if (zmq_msg_recv(&msg, s, ZMQ_DONTWAIT) >= 0 || zmq_errno() != EAGAIN)
        fail("recv of nothing");
    zmq_msg_close(&msg);
}

static double run(const char *does, const struct parcel *p, long count, long batch)
{
    void *s = sockets[0], *far = sockets[1], *back;
    double start = now();
    int used = 0;
    while (sockets[used])
        used++;
    back = sockets[--used]; /* behind those that carry the messages, where there is one */
    if (!strcmp(does, "send")) {
        send_one(s, p, p->item);
        start = now();
        for (long left = count; left > 0; left--)
            send_one(s, p, left > 1 ? p->item : p->last);
    } else if (!strcmp(does, "recv")) {
        say_ready();
        recv_one(s, p, NULL);
        start = now();
        for (long left = count; left > 0; left--)
            recv_one(s, p, left > 1 ? NULL : p->last);
    } else if (!strcmp(does, "ping") || !strcmp(does, "bounce")) {
        start = now();
        for (long left = count; left >= 0; left--) {
            send_one(s, p, p->item);
            if (far) { /* bounce: this thread is the other side too */
                recv_one(far, p, NULL);
                send_one(far, p, left > 0 ? p->item : p->last);
            }
            recv_one(s, p, left > 0 ? NULL : p->last);
            if (left == count)
                start = now(); /* the first trip was to warm up */
        }
    } else if (!strcmp(does, "pong")) {
        say_ready();
        start = now();
        for (long left = count; left >= 0; left--) {
            recv_one(s, p, NULL);
            send_one(s, p, left > 0 ? p->item : p->last);
        }
    } else if (!strcmp(does, "burst")) {
        start = now();
        for (long turn = count / batch; turn > 0; turn--) {
            for (long left = batch; left > 0; left--)
                send_one(s, p, turn > 1 || left > 1 ? p->item : p->last);
            for (long left = batch; left > 0; left--)
                recv_one(far, p, turn > 1 || left > 1 ? NULL : p->last);
        }
    } else if (!strcmp(does, "empty")) {
        start = now();
        for (long left = count; left > 0; left--)
            receive_nothing(far);
    } else if (!strcmp(does, "greet")) {
        send_one(s, p, count ? p->last : p->item);
    } else if (!strcmp(does, "hear")) {
        for (int slot = 0; slot < used; slot++)
            hear(sockets[slot], p, (int)count);
    } else if (!strcmp(does, "scatter")) {
        long final = count / batch - 1;
        for (long turn = -1; turn <= final; turn++) {
            for (long left = batch; left > 0; left--)
                for (int slot = 0; slot < used; slot++)
                    send_one(sockets[slot], p, turn == final && left == 1 ? p->last : p->item);
            if (turn)
                recv_one(back, p, NULL);
            if (turn < 0)
                start = now();
        }
        recv_one(back, p, NULL);
    } else if (!strcmp(does, "gather")) {
        long final = count / batch - 1;
        say_ready();
        for (long turn = -1; turn <= final; turn++) {
            for (long left = batch; left > 0; left--)
                for (int slot = 0; slot < used; slot++)
                    recv_one(sockets[slot], p,
                             turn == final && left == 1 && slot == used - 1 ? p->last : NULL);
            if (turn < 0)
                start = now();
            send_one(back, p, p->item);
        }
    } else if (!strcmp(does, "flow")) {
        send_one(s, p, p->item);
        recv_one(back, p, NULL);
        start = now();
        for (long left = batch; left > 0; left--)
            send_one(s, p, p->item);
        for (long left = count; left > 0; left--) {
            recv_one(back, p, left > 1 ? NULL : p->last);
            if (left > batch)
                send_one(s, p, left > batch + 1 ? p->item : p->last);
        }
    } else if (!strcmp(does, "forward")) {
        say_ready();
        for (long left = count; left >= 0; left--) {
            zmq_msg_t msg;
            zmq_msg_init(&msg);
            check(zmq_msg_recv(&msg, s, 0), "recv");
            check(zmq_msg_send(&msg, back, 0), "send");
        }
    } else {
        fprintf(stderr, "c_peer: cannot do %s\n", does);
        exit(1);
    }
    return now() - start;
}

static void work(const char *does)
{
    char kind[256];
    static struct parcel p;
    size_t size = (size_t)number("size");
    text("work", kind);
    p.parts = strcmp(kind, "multipart") ? 1 : 3;
    if (p.size != size) {
        free(p.item);
        free(p.last);
        p.size = size;
        p.item = content(size, 'r');
        p.last = content(size, 'z');
    }
    if (!strcmp(does, "prepare")) {
        puts("{}");
        return;
    }
    printf("{\"seconds\":%.9f}\n", run(does, &p, number("count"), number("batch")));
}

static void open_socket(void *context)
{
    static const struct { const char *name; int type; } types[] = {
        {"PUSH", ZMQ_PUSH}, {"PULL", ZMQ_PULL}, {"REQ", ZMQ_REQ},
        {"REP", ZMQ_REP},   {"PUB", ZMQ_PUB},   {"SUB", ZMQ_SUB},
    };
    char type[256], endpoint[256];
    int hwm = (int)number("hwm"), linger = 0, which = 0;
    size_t length = sizeof endpoint;
    text("type", type);
    text("endpoint", endpoint);
    while (which < 5 && strcmp(type, types[which].name))
        which++;
    void **place = &sockets[number("slot")], *s = *place;
    if (!s) {
        s = *place = zmq_socket(context, types[which].type);
        if (!s)
            fail("socket");
        check(zmq_setsockopt(s, ZMQ_SNDHWM, &hwm, sizeof hwm), "sndhwm");
        check(zmq_setsockopt(s, ZMQ_RCVHWM, &hwm, sizeof hwm), "rcvhwm");
        check(zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof linger), "linger");
        if (types[which].type == ZMQ_SUB)
            check(zmq_setsockopt(s, ZMQ_SUBSCRIBE, "", 0), "subscribe");
    }
    if (number("bind")) {
        check(zmq_bind(s, endpoint), endpoint);
        check(zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, endpoint, &length), "last_endpoint");
    } else {
        check(zmq_connect(s, endpoint), endpoint);
    }
    printf("{\"endpoint\":\"%s\"}\n", endpoint);
}

static void close_sockets(void)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        if (sockets[slot])
            zmq_close(sockets[slot]);
        sockets[slot] = NULL;
    }
}

int main(void)
{
    static char line[1024];
    void *context = zmq_ctx_new();
    while (fgets(line, sizeof line, stdin)) {
        char does[256];
        order = line;
        text("do", does);
        alarm((unsigned)number("limit"));
        if (!strcmp(does, "facts")) {
            int major, minor, patch;
            zmq_version(&major, &minor, &patch);
            printf("{\"version\":\"\",\"libzmq\":\"%d.%d.%d\"}\n", major, minor, patch);
        } else if (!strcmp(does, "open")) {
            open_socket(context);
        } else if (!strcmp(does, "close")) {
            close_sockets();
            puts("{}");
        } else {
            work(does);
        }
        alarm(0);
        fflush(stdout);
    }
    close_sockets();
    zmq_ctx_term(context);
    return 0;
}
