/* CURVE in plain C on libzmq, for security.py: counts what comes, or sends so many messages.
 *
 *   curve_peer pull SECRET COUNT               prints the endpoint, then the seconds that it took
 *   curve_peer push SERVERKEY ENDPOINT COUNT SIZE     waits for a line on stdin: all have come
 *
 * Both print the seconds of CPU that they had used when they began, and when all had come.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <zmq.h>

static void check(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "curve_peer: %s: %s\n", what, zmq_strerror(zmq_errno()));
        exit(1);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double used(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void pull(void *zsock, const char *secret, long count)
{
    int one = 1;
    char endpoint[256];
    size_t size = sizeof endpoint;
    zmq_msg_t msg;
    double began = 0, begun = 0;
    check(zmq_setsockopt(zsock, ZMQ_CURVE_SERVER, &one, sizeof one), "server");
    check(zmq_setsockopt(zsock, ZMQ_CURVE_SECRETKEY, secret, 41), "secret key");
    check(zmq_bind(zsock, "tcp://127.0.0.1:*"), "bind");
    check(zmq_getsockopt(zsock, ZMQ_LAST_ENDPOINT, endpoint, &size), "endpoint");
    puts(endpoint);
    fflush(stdout);
    zmq_msg_init(&msg);
    for (long i = 0; i < count; i++) {
        check(zmq_msg_recv(&msg, zsock, 0), "recv");
        if (i == 0) {
            began = now();
            begun = used();
        }
    }
    printf("%.6f %.6f ", now() - began, begun);
    printf("%.6f\n", used());
}

static void push(void *zsock, const char *server, const char *endpoint, long count, size_t size)
{
    char public[41], secret[41];
    char *data = calloc(1, size);
    double begun = used();
    check(zmq_curve_keypair(public, secret), "keys");
    check(zmq_setsockopt(zsock, ZMQ_CURVE_SERVERKEY, server, 41), "server key");
    check(zmq_setsockopt(zsock, ZMQ_CURVE_PUBLICKEY, public, 41), "public key");
    check(zmq_setsockopt(zsock, ZMQ_CURVE_SECRETKEY, secret, 41), "secret key");
    check(zmq_connect(zsock, endpoint), "connect");
    for (long i = 0; i < count; i++)
        check(zmq_send(zsock, data, size, 0), "send");
    free(data);
    getchar();
    printf("%.6f %.6f\n", begun, used());
}

int main(int argc, char **argv)
{
    void *context = zmq_ctx_new();
    int pulls = argc == 4 && strcmp(argv[1], "pull") == 0;
    void *zsock = zmq_socket(context, pulls ? ZMQ_PULL : ZMQ_PUSH);
    if (pulls)
        pull(zsock, argv[2], atol(argv[3]));
    else if (argc == 6)
        push(zsock, argv[2], argv[3], atol(argv[4]), (size_t) atol(argv[5]));
    else
        return 2;
    zmq_close(zsock);
    zmq_ctx_term(context);
    return 0;
}
