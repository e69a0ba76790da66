# Layer 8. The parts of Python's C API for coroutines that are written by hand.

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x03100000
    #warning "ratchet_context() reads a field of PyThreadState: check that it is still there"
    #endif
    static PyObject *ratchet_context(void) {
        PyObject *context = PyThreadState_Get()->context;
        if (context == NULL) {  /* a new OS thread: copying makes it one */
            context = PyContext_CopyCurrent();
            Py_XDECREF(context);
            if (context == NULL) return NULL;
            context = PyThreadState_Get()->context;
        }
        Py_INCREF(context);
        return context;
    }
    static void (*ratchet_end_call)(PyObject *) = NULL;
    static PyObject *ratchet_spare_stop = NULL;  /* a StopIteration that is not in use */
    /* The next step of a call. A call that is over is a StopIteration with its result; if it has
       none and `bare`, it is NULL and no exception, as the slot allows. */
    static PyObject *ratchet_step(PyObject *call, PyObject *value, int bare) {
        PyObject *result = NULL, *stop = ratchet_spare_stop;
        ratchet_spare_stop = NULL;  /* it is this step's, whatever runs meanwhile */
        if (stop == NULL && (stop = PyObject_CallNoArgs(PyExc_StopIteration)) == NULL) {
            PyErr_Clear();
            ratchet_end_call(call);
            return PyErr_NoMemory();
        }
        int over = Py_TYPE(call)->tp_as_async->am_send(call, value, &result) == PYGEN_RETURN;
        if (over && !(bare && result == Py_None)) {
            Py_XSETREF(((PyStopIterationObject *) stop)->value, result);
        #if PY_VERSION_HEX >= 0x030C0000
            PyErr_SetRaisedException(stop);
        #else
            PyErr_Restore(Py_NewRef(PyExc_StopIteration), stop, NULL);
        #endif
            return NULL;
        }
        if (ratchet_spare_stop == NULL) ratchet_spare_stop = stop;
        else Py_DECREF(stop);
        if (over) Py_CLEAR(result);
        return result;
    }
    static PyObject *ratchet_next(PyObject *call) {
        return ratchet_step(call, Py_None, 1);
    }
    /* Gives a type the slots of a coroutine; -1 if Cython made it without room for them. */
    static int ratchet_set_slots(
        PyObject *type, int (*send)(PyObject *, PyObject *, PyObject **), void (*end)(PyObject *)
    ) {
        PyAsyncMethods *slots = ((PyTypeObject *) type)->tp_as_async;
        if (slots == NULL) return -1;
        ratchet_end_call = end;
        slots->am_send = (sendfunc) send;
        ((PyTypeObject *) type)->tp_iternext = ratchet_next;
        PyType_Modified((PyTypeObject *) type);
        return 0;
    }
    """
    object ratchet_step(object call, object value, bint bare)
    object ratchet_context()
    int ratchet_set_slots(
        object type, int (*send)(object, object, PyObject **) except -1,
        void (*end)(object) noexcept)

cdef extern from "Python.h":
    int iterator_send "PyIter_Send"(object iterator, object value, PyObject **result) except -1
