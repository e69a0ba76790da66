/* Connections in plain C, and the far end for all of benchmarks/connections.py.
 *
 *     c_connections far                     bind a PULL, print its endpoint, and for each number of
 *                                           messages that stdin asks for print it when they are there
 *     c_connections near ENDPOINT COUNT     do what is measured with so many PUSH sockets
 *
 * The near end says each phase that it has done on stdout, and goes on when a line comes on stdin,
 * so that one program measures all libraries from outside.
 */

#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

static void *context;

static void check(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "c_connections: %s: %s\n", what, zmq_strerror(zmq_errno()));
        exit(1);
    }
}

static void *make(int type)
{
    int linger = 10000, none = 0;
    void *s = zmq_socket(context, type);
    if (!s)
        check(-1, "socket");
    check(zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof linger), "linger");
    if (type == ZMQ_PULL)
        check(zmq_setsockopt(s, ZMQ_RCVHWM, &none, sizeof none), "rcvhwm");
    return s;
}

static void done(const char *phase)
{
    char line[64];
    puts(phase);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        exit(0);
}

static void far(void)
{
    char endpoint[256];
    size_t length = sizeof endpoint;
    int count, backlog = 4096;
    void *s = make(ZMQ_PULL);
    check(zmq_setsockopt(s, ZMQ_BACKLOG, &backlog, sizeof backlog), "backlog");
    check(zmq_bind(s, "tcp://127.0.0.1:*"), "bind");
    check(zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, endpoint, &length), "last_endpoint");
    puts(endpoint);
    fflush(stdout);
    while (scanf("%d", &count) == 1) {
        for (int i = 0; i < count; i++)
            check(zmq_recv(s, NULL, 0, 0), "recv");
        printf("%d\n", count);
        fflush(stdout);
    }
    _Exit(0);
}

static void near(const char *endpoint, int count)
{
    void **sockets = calloc(count, sizeof *sockets);
    if (!sockets)
        exit(1);
    done("ready");
    for (int i = 0; i < count; i++)
        sockets[i] = make(ZMQ_PUSH);
    done("new");
    for (int i = 0; i < count; i++)
        check(zmq_connect(sockets[i], endpoint), "connect");
    done("connect");
    for (int i = 0; i < count; i++)
        check(zmq_send(sockets[i], "x", 1, 0), "send");
    done("first message");
    for (int i = 0; i < count; i++)
        check(zmq_close(sockets[i]), "close");
    done("close");
}

int main(int argc, char **argv)
{
    context = zmq_ctx_new();
    check(zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 65535), "max_sockets");
    if (argc == 4)
        near(argv[2], atoi(argv[3]));
    else
        far();
    _Exit(0);
}
