# Layer 0. The counts of a build with RATCHET_DEBUG=1, by which tests prove that they leave nothing.
#
# The calls that open and close are wrapped by macros of the same names, so that none can be missed
# and no other code knows of it. In a normal build the macros are empty. All of them run with the
# GIL held.
#
# A message is open while there is something in it: from zmq_msg_init_size, or from a zmq_msg_recv
# that found one, until it is closed or sent. Messages are known by address, because closing an
# empty one is allowed; one that is overwritten while it is open is `lost`, and counts as open for
# ever.
#
# The references that are counted are those that no Python object holds and Cython does not count:
# libzmq's, of a loan.

cdef extern from *:
    """
    #include <zmq.h>
    #ifdef RATCHET_DEBUG
    #include <search.h>
    static Py_ssize_t ratchet_sockets, ratchet_buffers, ratchet_waiters, ratchet_lost;
    static Py_ssize_t ratchet_references;
    static Py_ssize_t ratchet_messages;
    static void *ratchet_addresses;  /* a tree of theirs, of memory that Python knows nothing of */

    static int ratchet_compare(const void *left, const void *right) {
        return (left > right) - (left < right);
    }
    static int ratchet_message(zmq_msg_t *msg, int open) {
        int was = tfind(msg, &ratchet_addresses, ratchet_compare) != NULL;
        if (was && !open) tdelete(msg, &ratchet_addresses, ratchet_compare);
        if (open && !was && tsearch(msg, &ratchet_addresses, ratchet_compare) == NULL)
            Py_FatalError("no memory to count with");
        ratchet_messages += open - was;
        return was;
    }
    static int ratchet_msg_init(zmq_msg_t *msg) {
        ratchet_lost += ratchet_message(msg, 0);
        return zmq_msg_init(msg);
    }
    static int ratchet_msg_init_size(zmq_msg_t *msg, size_t size) {
        int rc = zmq_msg_init_size(msg, size);
        ratchet_lost += ratchet_message(msg, rc == 0);
        return rc;
    }
    static int ratchet_msg_recv(zmq_msg_t *msg, void *s, int flags) {
        int rc = zmq_msg_recv(msg, s, flags), error = errno;
        if (rc >= 0) ratchet_lost += ratchet_message(msg, 1);
        errno = error;
        return rc;
    }
    static int ratchet_msg_send(zmq_msg_t *msg, void *s, int flags) {
        int rc = zmq_msg_send(msg, s, flags), error = errno;
        if (rc >= 0) ratchet_message(msg, 0);
        errno = error;
        return rc;
    }
    static int ratchet_msg_move(zmq_msg_t *to, zmq_msg_t *from) {
        ratchet_message(to, ratchet_message(from, 0));  /* libzmq closes what was in `to` */
        return zmq_msg_move(to, from);
    }
    static int ratchet_msg_close(zmq_msg_t *msg) {
        ratchet_message(msg, 0);
        return zmq_msg_close(msg);
    }
    static void *ratchet_open_socket(void *context, int type) {
        void *s = zmq_socket(context, type);
        ratchet_sockets += s != NULL;
        return s;
    }
    static int ratchet_close_socket(void *s) {
        int rc = zmq_close(s);
        ratchet_sockets -= rc == 0;
        return rc;
    }
    static int ratchet_get_buffer(PyObject *data, Py_buffer *view, int flags) {
        int rc = PyObject_GetBuffer(data, view, flags);
        ratchet_buffers += rc == 0;
        return rc;
    }
    static void ratchet_release_buffer(Py_buffer *view) {
        ratchet_buffers -= view->obj != NULL;
        PyBuffer_Release(view);
    }
    static void ratchet_collect(void);  /* of `loans.pxi` */
    static PyObject *ratchet_counts(void) {
        ratchet_collect();  /* what libzmq has given back is not held any more */
        return Py_BuildValue("{s:n,s:n,s:n,s:n,s:n}",
            "sockets", ratchet_sockets, "messages", ratchet_messages + ratchet_lost,
            "waiters", ratchet_waiters, "buffers", ratchet_buffers,
            "references", ratchet_references);
    }
    #define ratchet_left_in(msg) ((void) ratchet_message(msg, 0))
    #define zmq_msg_init ratchet_msg_init
    #define zmq_msg_init_size ratchet_msg_init_size
    #define zmq_msg_recv ratchet_msg_recv
    #define zmq_msg_send ratchet_msg_send
    #define zmq_msg_move ratchet_msg_move
    #define zmq_msg_close ratchet_msg_close
    #define zmq_socket ratchet_open_socket
    #define zmq_close ratchet_close_socket
    #define PyObject_GetBuffer ratchet_get_buffer
    #define PyBuffer_Release ratchet_release_buffer
    #define ratchet_count_waiters(more) (ratchet_waiters += (more))
    #define ratchet_hold(thing) (ratchet_references++, Py_NewRef(thing))
    #define ratchet_drop(thing) (ratchet_references--, Py_DECREF(thing))
    #else
    static PyObject *ratchet_counts(void) { Py_RETURN_NONE; }
    #define ratchet_count_waiters(more) ((void) 0)
    #define ratchet_hold(thing) Py_NewRef(thing)
    #define ratchet_drop(thing) Py_DECREF(thing)
    #define ratchet_left_in(msg) ((void) 0)
    #endif
    #ifdef __SANITIZE_ADDRESS__
    #include <sanitizer/asan_interface.h>
    #define ratchet_before_switch() __asan_handle_no_return()
    #else
    #define ratchet_before_switch() ((void) 0)
    #endif
    """
    void ratchet_count_waiters(int more) noexcept
    void ratchet_left_in(zmq_msg_t *msg) noexcept  # what is in it need not be closed
    # greenlet copies the stack away and back. The address sanitizer's marks between variables do
    # not move along, and copying them is an error: this removes all that are there now.
    void ratchet_before_switch() noexcept
    object ratchet_counts()


def counts():
    """Return what is open now, by kind; None unless built with RATCHET_DEBUG=1."""
    return ratchet_counts()
