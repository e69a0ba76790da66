"""zmq.h as far as ratchet calls it, in its order, with its names; and what `_pyzmq.pyx` calls."""

from cpython.object cimport PyObject

cdef extern from "zmq.h" nogil:
    void zmq_version(int *major, int *minor, int *patch) noexcept

    int EAGAIN, EHOSTUNREACH, EINTR, EINVAL, EMFILE, ENOMEM, ENOTSOCK, ENOTSUP, ETERM, EFSM
    int EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, ECONNABORTED, ECONNREFUSED, ECONNRESET
    int EINPROGRESS, EMSGSIZE, ENETDOWN, ENETRESET, ENETUNREACH, ENOBUFS, ENOTCONN
    int EPROTONOSUPPORT, ETIMEDOUT
    int zmq_errno() noexcept
    const char *zmq_strerror(int errnum) noexcept

    int ZMQ_IO_THREADS, ZMQ_MAX_SOCKETS, ZMQ_SOCKET_LIMIT
    void *zmq_ctx_new() noexcept
    int zmq_ctx_term(void *context) noexcept
    int zmq_ctx_shutdown(void *context) noexcept
    int zmq_ctx_set(void *context, int option, int optval) noexcept
    int zmq_ctx_get(void *context, int option) noexcept

    ctypedef struct zmq_msg_t:
        pass
    int zmq_msg_init(zmq_msg_t *msg) noexcept
    int zmq_msg_init_size(zmq_msg_t *msg, size_t size) noexcept
    int zmq_msg_send(zmq_msg_t *msg, void *s, int flags) noexcept
    int zmq_msg_recv(zmq_msg_t *msg, void *s, int flags) noexcept
    int zmq_msg_close(zmq_msg_t *msg) noexcept
    int zmq_msg_move(zmq_msg_t *dest, zmq_msg_t *src) noexcept
    int zmq_msg_copy(zmq_msg_t *dest, zmq_msg_t *src) noexcept
    void *zmq_msg_data(zmq_msg_t *msg) noexcept
    size_t zmq_msg_size(const zmq_msg_t *msg) noexcept
    int zmq_msg_more(const zmq_msg_t *msg) noexcept
    int ZMQ_MORE, ZMQ_SRCFD
    int zmq_msg_get(const zmq_msg_t *msg, int property) noexcept
    const char *zmq_msg_gets(const zmq_msg_t *msg, const char *property) noexcept

    int ZMQ_LINGER, ZMQ_FD, ZMQ_EVENTS, ZMQ_LAST_ENDPOINT, ZMQ_SUBSCRIBE, ZMQ_UNSUBSCRIBE
    int ZMQ_REQ_CORRELATE, ZMQ_REQ_RELAXED, ZMQ_ROUTER_MANDATORY, ZMQ_ROUTER_RAW
    int ZMQ_SNDHWM, ZMQ_RCVHWM, ZMQ_CONFLATE
    int ZMQ_IPV6, ZMQ_USE_FD, ZMQ_RCVTIMEO, ZMQ_SNDTIMEO, ZMQ_RCVMORE, ZMQ_TYPE
    int ZMQ_CONNECT_ROUTING_ID, ZMQ_SOCKS_PROXY, ZMQ_PLAIN_SERVER, ZMQ_ZAP_DOMAIN
    int ZMQ_AFFINITY
    int ZMQ_DONTWAIT, ZMQ_SNDMORE

    void *zmq_socket(void *context, int type) noexcept
    int zmq_close(void *s) noexcept
    int zmq_setsockopt(void *s, int option, const void *optval, size_t optvallen) noexcept
    int zmq_getsockopt(void *s, int option, void *optval, size_t *optvallen) noexcept
    int zmq_bind(void *s, const char *addr) noexcept
    int zmq_connect(void *s, const char *addr) noexcept
    int zmq_unbind(void *s, const char *addr) noexcept
    int zmq_disconnect(void *s, const char *addr) noexcept
    int zmq_send(void *s, const void *buf, size_t len, int flags) noexcept

    int ZMQ_PAIR, ZMQ_EVENT_ALL
    int zmq_socket_monitor(void *s, const char *addr, int events) noexcept

    int zmq_has(const char *capability) noexcept
    int zmq_curve_keypair(char *z85_public_key, char *z85_secret_key) noexcept
    int zmq_curve_public(char *z85_public_key, const char *z85_secret_key) noexcept

# What `_pyzmq.pyx` calls (`_zmq/program_calls.pxi`); everything is an object there.
cdef enum:
    KEEP_HELD = 0x10000  # a flag of our own: after "not now" the parts before this one stay

cdef object program_not_now()
cdef int program_send_now(PyObject *socket, PyObject *data) noexcept
cdef object program_send(object socket, object data, int flags)
cdef object program_send_on(object socket, object data, int flags, int sent)
cdef object program_send_parts(object socket, list parts, int flags)
cdef PyObject *program_recv_now(PyObject *socket, int *size) noexcept
cdef object program_recv(object socket, int flags)
cdef object program_recv_on(object socket, int flags, int size)
cdef object program_recv_parts(object socket, int flags)
cdef object program_recv_frame(object socket, int flags)
cdef object program_recv_frames(object socket, int flags)
cdef object program_thread()
cdef double program_limit(object socket, bint writes)
cdef double program_reknock()
cpdef bint spend_turn() noexcept
cdef object program_try(object socket, object waiter, str name, object arg, bint *knock)
cdef int program_give_back(object socket, object found, str name) except -1
cdef bint program_is_watched(object socket, object runtime)
