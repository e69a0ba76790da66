# Layer 0. Methods of an extension type whose C function is exchanged, and their arguments in C.
#
# Cython parses the arguments of a call before it runs; for a small message that is a quarter of
# the whole. A function that is put in front of a method sees them as they were given, and hands on
# what it does not know. Both extensions include this.

cdef extern from *:
    """
    typedef PyObject *(*ratchet_call)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
    /* Returns the C function of a method that takes keywords; NULL if Cython made it otherwise. */
    static ratchet_call ratchet_function_of(PyObject *method) {
        PyMethodDef *def;
        if (!Py_IS_TYPE(method, &PyMethodDescr_Type)) return NULL;
        def = ((PyMethodDescrObject *) method)->d_method;
        if (def->ml_flags != (METH_FASTCALL | METH_KEYWORDS)) return NULL;
        return (ratchet_call) (void (*)(void)) def->ml_meth;
    }
    /* Gives `type` a method of its own in place of one that it has or inherits; -1: an error. */
    static int ratchet_set_method(
            PyObject *type, PyObject *method, ratchet_call function, PyMethodDef *def) {
        PyMethodDef *old = ((PyMethodDescrObject *) method)->d_method;
        PyObject *made;
        int rc;
        *def = (PyMethodDef) {old->ml_name, (PyCFunction) (void (*)(void)) function,
                              METH_FASTCALL | METH_KEYWORDS, old->ml_doc};
        made = PyDescr_NewMethod((PyTypeObject *) type, def);
        if (made == NULL) return -1;
        rc = PyDict_SetItemString(((PyTypeObject *) type)->tp_dict, def->ml_name, made);
        Py_DECREF(made);
        PyType_Modified((PyTypeObject *) type);
        return rc;
    }
    static void ratchet_raise(PyObject *type, PyObject *args) {
        /* Without its __init__: an OSError is complete, and so is `Again` of _pyzmq.pyx. */
        PyObject *error = ((PyTypeObject *) type)->tp_new((PyTypeObject *) type, args, NULL);
        if (error == NULL) return;
        PyErr_SetObject(type, error);
        Py_DECREF(error);
    }
    """
    ctypedef struct PyMethodDef:
        pass
    ctypedef PyObject *(*Function "ratchet_call")(
        object zsock, PyObject **args, Py_ssize_t count, PyObject *names) except? NULL
    Function ratchet_function_of(object method)
    int ratchet_set_method(
        object type, object method, Function function, PyMethodDef *definition) except -1
    void ratchet_raise(object type, object args)
    PyObject *new_reference "Py_NewRef"(object thing)
    PyObject *item_of "PyTuple_GET_ITEM"(PyObject *names, Py_ssize_t index)
    Py_ssize_t length_of "PyTuple_GET_SIZE"(PyObject *names)
    bint is_bytes "PyBytes_CheckExact"(PyObject *data)
    char *start_of "PyBytes_AS_STRING"(PyObject *data)
    Py_ssize_t size_of "PyBytes_GET_SIZE"(PyObject *data)


quick_calls = ()  # the names of the methods that have a quick form; a test asks for all
cdef enum:
    QUICK_METHODS = 5  # that an extension can have

cdef PyMethodDef[QUICK_METHODS] quick_definitions


cdef Function quicken(type kind, str name, Function quick) except? NULL:
    """Have calls of a method go to ``quick`` first; return where they went before."""
    global quick_calls
    method = getattr(kind, name)
    cdef Function usual = ratchet_function_of(method)
    if len(quick_calls) == QUICK_METHODS:
        raise ImportError(f"no room for a quick form of {name}")
    if usual != NULL:
        ratchet_set_method(kind, method, quick, &quick_definitions[len(quick_calls)])
        quick_calls += (name,)
    return usual
