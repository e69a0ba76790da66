# Layer 6. The pair that recv() returns.

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x03100000
    #warning "ratchet_pair() writes into a tuple as CPython up to 3.15 lets it: check the layout"
    #endif
    #if PY_VERSION_HEX >= 0x030E0000  /* from 3.14 on a tuple caches its hash */
    #define RATCHET_FORGET_HASH(pair) (((PyTupleObject *) (pair))->ob_hash = -1)
    #else
    #define RATCHET_FORGET_HASH(pair) ((void) 0)
    #endif
    #ifdef Py_GIL_DISABLED  /* a reference count proves nothing without the GIL */
    #define ratchet_pair(data) PyTuple_Pack(2, data, Py_False)
    #else
    /* Returns (data, False). For speed: the pair returned last is used again when nothing else
    refers to
       it, as zip() does; making one costs half as much as a receive. zip() also has the garbage
       collector track its tuple again, which is not needed here: bytes and a bool form no cycle. */
    RATCHET_INLINE PyObject *ratchet_pair(PyObject *data) {
        static PyObject *spare = NULL;
        if (PyBytes_GET_SIZE(data) >= RATCHET_LARGEST_RECYCLED)
            return PyTuple_Pack(2, data, Py_False);
        if (spare != NULL && Py_REFCNT(spare) == 1) {
            PyObject *old = PyTuple_GET_ITEM(spare, 0);
            Py_INCREF(data);
            PyTuple_SET_ITEM(spare, 0, data);
            RATCHET_FORGET_HASH(spare);
            Py_DECREF(old);
        } else {
            PyObject *fresh = PyTuple_Pack(2, data, Py_False);
            if (fresh == NULL) return NULL;
            Py_XSETREF(spare, fresh);
        }
        Py_INCREF(spare);
        return spare;
    }
    #endif
    #define ratchet_own(thing) (thing)
    """
    tuple single "ratchet_pair"(bytes data)
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *data, Py_ssize_t size) noexcept
    bytes own "ratchet_own"(PyObject *new)  # raises the error that came with a NULL
