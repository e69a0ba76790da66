/* A proxy in plain C, libzmq's own, and the load that benchmarks/proxies.py puts on any proxy.
 *
 *     c_proxy proxy ROUTER|XSUB             bind both sides, print their endpoints, and run
 *     c_proxy load ROUTER|XSUB FRONT BACK SIZE COUNT
 *                                           pass so many messages through and print the seconds
 *
 * A load has at most WINDOW messages on their way, so that nothing is dropped. Before a ROUTER it is
 * a client, and a worker in a thread of its own that sends everything back.
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define WINDOW 400

static void *context;

static void check(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "c_proxy: %s: %s\n", what, zmq_strerror(zmq_errno()));
        exit(1);
    }
}

static void *make(int type)
{
    int linger = 0, none = 0;
    void *s = zmq_socket(context, type);
    if (!s)
        check(-1, "socket");
    check(zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof linger), "linger");
    /* What publishes drops what is beyond its mark, and learns only now and then what was read. */
    if (type == ZMQ_PUB || type == ZMQ_XPUB)
        check(zmq_setsockopt(s, ZMQ_SNDHWM, &none, sizeof none), "sndhwm");
    if (type == ZMQ_SUB)
        check(zmq_setsockopt(s, ZMQ_SUBSCRIBE, "", 0), "subscribe");
    return s;
}

static void *bound(int type)
{
    char endpoint[256];
    size_t length = sizeof endpoint;
    void *s = make(type);
    check(zmq_bind(s, "tcp://127.0.0.1:*"), "bind");
    check(zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, endpoint, &length), "last_endpoint");
    puts(endpoint);
    return s;
}

static void *joined(int type, const char *endpoint)
{
    void *s = make(type);
    check(zmq_connect(s, endpoint), "connect");
    return s;
}

static void receive(void *s, size_t size)
{
    zmq_msg_t msg;
    int more = 1;
    while (more) {
        zmq_msg_init(&msg);
        check(zmq_msg_recv(&msg, s, 0), "recv");
        more = zmq_msg_more(&msg);
        if (!more && zmq_msg_size(&msg) != size) {
            fprintf(stderr, "c_proxy: not what was sent\n");
            exit(1);
        }
        zmq_msg_close(&msg);
    }
}

static void *echo(void *s)
{
    zmq_msg_t msg;
    for (;;) {
        zmq_msg_init(&msg);
        if (zmq_msg_recv(&msg, s, 0) < 0)
            return NULL;
        check(zmq_msg_send(&msg, s, zmq_msg_more(&msg) ? ZMQ_SNDMORE : 0), "send");
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double load(int routed, const char *front, const char *back, size_t size, long count)
{
    char *item = calloc(1, size);
    void *near = joined(routed ? ZMQ_DEALER : ZMQ_PUB, front);
    void *far = joined(routed ? ZMQ_DEALER : ZMQ_SUB, back);
    void *from = routed ? near : far;
    pthread_t worker;
    double start;
    if (routed) {
        check(pthread_create(&worker, NULL, echo, far) ? -1 : 0, "thread");
        check(zmq_send(near, item, size, 0), "send");
        receive(near, size);
    } else { /* until the subscription has arrived */
        zmq_pollitem_t heard = {far, 0, ZMQ_POLLIN, 0};
        while (zmq_poll(&heard, 1, 5) == 0)
            check(zmq_send(near, item, size, 0), "send");
        usleep(200000);
        while (zmq_poll(&heard, 1, 0) > 0)
            receive(far, size);
    }
    start = now();
    for (long sent = 0, got = 0; got < count; got++) {
        for (; sent < count && sent - got < WINDOW; sent++)
            check(zmq_send(near, item, size, 0), "send");
        receive(from, size);
    }
    return now() - start;
}

int main(int argc, char **argv)
{
    int routed = argc > 2 && !strcmp(argv[2], "ROUTER");
    context = zmq_ctx_new();
    if (argc == 3 && !strcmp(argv[1], "proxy")) {
        void *front = bound(routed ? ZMQ_ROUTER : ZMQ_XSUB);
        void *back = bound(routed ? ZMQ_DEALER : ZMQ_XPUB);
        fflush(stdout);
        zmq_proxy(front, back, NULL);
        return 0;
    }
    if (argc != 7)
        return 2;
    printf("%.6f\n", load(routed, argv[3], argv[4], (size_t)atol(argv[5]), atol(argv[6])));
    fflush(stdout);
    _exit(0); /* the worker waits for ever */
}
