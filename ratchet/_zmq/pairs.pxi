# Layer 6. What recv() returns: bytes and pairs of those received last, which are used again.
#
# Making and freeing 16 bytes costs more than all else that ratchet does for a receive. A program
# drops most messages before the next ones come, so those returned last are remembered, each in a
# pair. If nobody else holds the two, the next message of that size is copied into them
# (docs/decisions/051-what-a-message-costs.md).

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x03100000
    #warning "pairs.pxi writes into bytes and tuples, as CPython up to 3.15 lets it: check"
    #endif
    #if PY_VERSION_HEX >= 0x030E0000  /* from 3.14 on a tuple caches its hash, as bytes do */
    #define RATCHET_FORGET_HASH(pair) (((PyTupleObject *) (pair))->ob_hash = -1)
    #else
    #define RATCHET_FORGET_HASH(pair) ((void) 0)
    #endif
    #define ratchet_own(thing) (thing)
    /* A list of these new references, which are given away; NULL: no memory, and they are gone. */
    static PyObject *ratchet_list(PyObject **few, int count) {
        PyObject *list = PyList_New(count);
        int i;
        for (i = 0; i < count; i++) {
            if (list == NULL) Py_DECREF(few[i]);
            else PyList_SET_ITEM(list, i, few[i]);
        }
        return list;
    }
    /* An empty list with room for so many; NULL: no memory. */
    static PyObject *ratchet_list_for(Py_ssize_t count) {
        PyObject *list = PyList_New(count);
        if (list != NULL) Py_SET_SIZE(list, 0);
        return list;
    }
    /* Append a new reference, which is given away; -1: no memory. For speed: PyList_Append gives
       back the room of which half is not used. */
    RATCHET_INLINE int ratchet_put_in(PyObject *list, PyObject *thing) {
        Py_ssize_t size = PyList_GET_SIZE(list);
        int error;
        if (size < ((PyListObject *) list)->allocated) {
            Py_SET_SIZE(list, size + 1);
            PyList_SET_ITEM(list, size, thing);
            return 0;
        }
        error = PyList_Append(list, thing);
        Py_DECREF(thing);
        return error;
    }
    #ifdef Py_GIL_DISABLED  /* a reference count proves nothing without the GIL */
    static int ratchet_make_pairs(void) { return 0; }
    #define ratchet_bytes(data, size) PyBytes_FromStringAndSize(data, size)
    #define ratchet_one_of_many(data, size) PyBytes_FromStringAndSize(data, size)
    static void ratchet_begin_batch(void) {}
    static PyObject *ratchet_pair(const char *data, Py_ssize_t size) {
        return Py_BuildValue("y#O", data, size, Py_False);
    }
    #else
    /* Each is (bytes, False) of one of the last receives; after `ratchet_last` comes the oldest. */
    typedef struct ratchet_kept { PyObject *pair; struct ratchet_kept *next; } ratchet_kept;
    static ratchet_kept ratchet_ring[RATCHET_PAIRS], *ratchet_last = ratchet_ring;
    static int ratchet_make_pairs(void) {
        int i;
        for (i = 0; i < RATCHET_PAIRS; i++) {
            ratchet_ring[i].next = &ratchet_ring[(i + 1) % RATCHET_PAIRS];
            if ((ratchet_ring[i].pair = Py_BuildValue("yO", "", Py_False)) == NULL) return -1;
        }
        return 0;
    }
    /* The call of memcpy costs more than a copy of few bytes, in two halves that may overlap. */
    RATCHET_INLINE void ratchet_copy(char *to, const char *from, Py_ssize_t size) {
        if (size >= 16 && size <= 32) {
            memcpy(to, from, 16);
            memcpy(to + size - 16, from + size - 16, 16);
        } else {
            memcpy(to, from, size);
        }
    }
    RATCHET_INLINE void ratchet_fill(PyObject *bytes, const char *data, Py_ssize_t size) {
        _Py_COMP_DIAG_PUSH
        _Py_COMP_DIAG_IGNORE_DEPR_DECLS
        ((PyBytesObject *) bytes)->ob_shash = -1;
        _Py_COMP_DIAG_POP
        ratchet_copy(PyBytes_AS_STRING(bytes), data, size);
    }
    /* The oldest pair with this data, if nobody else holds it or its bytes; else NULL. */
    RATCHET_INLINE PyObject *ratchet_filled(const char *data, Py_ssize_t size) {
        PyObject *pair, *bytes;
        ratchet_last = ratchet_last->next;
        pair = ratchet_last->pair;
        bytes = PyTuple_GET_ITEM(pair, 0);
        if (PyBytes_GET_SIZE(bytes) != size || Py_REFCNT(bytes) != 1 || Py_REFCNT(pair) != 1)
            return NULL;
        RATCHET_FORGET_HASH(pair);
        ratchet_fill(bytes, data, size);
        return pair;
    }
    RATCHET_APART PyObject *ratchet_new_bytes(const char *data, Py_ssize_t size) {
        PyObject *bytes = PyBytes_FromStringAndSize(data, size), *pair = ratchet_last->pair, *old;
        if (bytes != NULL && size <= RATCHET_LARGEST_RECYCLED && Py_REFCNT(pair) == 1) {
            old = PyTuple_GET_ITEM(pair, 0);
            PyTuple_SET_ITEM(pair, 0, Py_NewRef(bytes));
            RATCHET_FORGET_HASH(pair);
            Py_DECREF(old);
        }
        return bytes;
    }
    RATCHET_APART PyObject *ratchet_new_pair(const char *data, Py_ssize_t size) {
        PyObject *bytes = ratchet_new_bytes(data, size), *pair = ratchet_last->pair;
        if (bytes == NULL) return NULL;
        if (PyTuple_GET_ITEM(pair, 0) == bytes && Py_REFCNT(pair) == 1) {
            Py_INCREF(pair);
        } else {  /* the oldest is in use, or this is too large to be kept */
            pair = PyTuple_Pack(2, bytes, Py_False);
            if (pair != NULL && size <= RATCHET_LARGEST_RECYCLED)
                Py_SETREF(ratchet_last->pair, Py_NewRef(pair));
        }
        Py_DECREF(bytes);
        return pair;
    }
    /* Return bytes; NULL: no memory. It makes nothing that the garbage collector knows. */
    RATCHET_INLINE PyObject *ratchet_bytes(const char *data, Py_ssize_t size) {
        PyObject *pair = ratchet_filled(data, size);
        return pair == NULL ? ratchet_new_bytes(data, size) : Py_NewRef(PyTuple_GET_ITEM(pair, 0));
    }
    /* Messages of batches, in turn: `ratchet_spare` is whose turn it is. */
    static PyObject *ratchet_spares[RATCHET_SPARES], **ratchet_spare = ratchet_spares;
    static Py_ssize_t ratchet_spared = 0;  /* bytes that they have together */
    static void ratchet_begin_batch(void) {
        PyObject *first = ratchet_spares[0];
        /* The program has dropped the list with the first: the same few are used again and again,
           and stay in the processor's cache. */
        if (first != NULL && Py_REFCNT(first) == 1) ratchet_spare = ratchet_spares;
    }
    RATCHET_APART PyObject *ratchet_new_spare(
            PyObject **spare, const char *data, Py_ssize_t size) {
        PyObject *bytes = PyBytes_FromStringAndSize(data, size);
        Py_ssize_t more = size - (*spare == NULL ? 0 : PyBytes_GET_SIZE(*spare));
        if (bytes != NULL && ratchet_spared + more <= RATCHET_SPARED) {
            ratchet_spared += more;
            Py_XSETREF(*spare, Py_NewRef(bytes));
        } else if (*spare == NULL) {
            ratchet_spare = ratchet_spares;  /* there will be nothing behind it */
        }
        return bytes;
    }
    /* Return bytes for a batch; NULL: no memory. */
    RATCHET_APART PyObject *ratchet_one_of_many(const char *data, Py_ssize_t size) {
        PyObject *bytes, **spare = ratchet_spare;
        if (size < RATCHET_LEAST_SPARE || size > RATCHET_LARGEST_RECYCLED)
            return PyBytes_FromStringAndSize(data, size);
        if (++ratchet_spare == ratchet_spares + RATCHET_SPARES) ratchet_spare = ratchet_spares;
        bytes = *spare;
        if (bytes == NULL || PyBytes_GET_SIZE(bytes) != size || Py_REFCNT(bytes) != 1)
            return ratchet_new_spare(spare, data, size);
        ratchet_fill(bytes, data, size);
        return Py_NewRef(bytes);
    }
    /* Return (data, False); NULL: no memory. */
    RATCHET_INLINE PyObject *ratchet_pair(const char *data, Py_ssize_t size) {
        PyObject *pair = ratchet_filled(data, size);
        return pair == NULL ? ratchet_new_pair(data, size) : Py_NewRef(pair);
    }
    #endif
    """
    int ratchet_make_pairs() except -1
    PyObject *bytes_of "ratchet_bytes"(const char *data, Py_ssize_t size) noexcept
    PyObject *pair_of "ratchet_pair"(const char *data, Py_ssize_t size) noexcept
    void begin_batch "ratchet_begin_batch"() noexcept
    PyObject *one_of_batch "ratchet_one_of_many"(const char *data, Py_ssize_t size) noexcept
    list ratchet_list(PyObject **few, int count)
    list list_for "ratchet_list_for"(Py_ssize_t count)
    int put_in "ratchet_put_in"(list things, PyObject *new) except -1
    object own "ratchet_own"(PyObject *new)

ratchet_make_pairs()
