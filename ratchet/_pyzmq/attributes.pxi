# Attributes of sockets: options, such as ``linger``, and what pyzmq or a program puts there.
#
# pyzmq finds options in a ``__getattr__`` in Python, and a class that has one pays for it in every
# look-up of a method: as much as a message costs. As descriptors they cost the others nothing.

cdef object WRITE_ONLY = (errno.EINVAL, errno.EFAULT)  # what reading such an option raises


cdef class OptionAttribute:
    """One option of a socket as an attribute of it."""
    cdef str name       # as pyzmq writes it, in capitals
    cdef object option

    def __init__(self, str name not None, option):
        self.name, self.option = name, option

    def __get__(self, zsock, kind):
        if zsock is None:
            return self
        try:
            return zsock._get_attr_opt(self.name, self.option)
        except ZMQError as error:
            if error.errno in WRITE_ONLY:
                raise AttributeError(f"{self.name} cannot be read: {error}") from None
            raise

    def __delete__(self, zsock):
        raise AttributeError(f"{self.name} is an option and cannot be deleted")

    def __set__(self, zsock, value):
        zsock._set_attr_opt(self.name, self.option, value)


def give_options(kind, constants):
    """Give pyzmq's class of sockets an attribute for each option, in capitals and in small letters.

    Args:
        kind (type): the class; what it has already stays.
        constants (dict): names and values, of which those that are options count.
    """
    for name, option in constants.items():
        if isinstance(option, SocketOption):
            for spelling in (name, name.lower()):
                if not hasattr(kind, spelling):  # ``type`` outlives the socket's end
                    setattr(kind, spelling, OptionAttribute(name, option))


# A socket of `Socket`'s own class has no dict as long as nobody asks for its ``__dict__``; then
# Python calls its methods without a look into the dict, and a ``send`` and a ``recv`` cost a
# quarter less. pyzmq's own ``__setattr__`` asks for it each time.

cdef extern from "Python.h":
    int set_usual "PyObject_GenericSetAttr"(object thing, object name, object value) except -1
    PyObject *get_usual "PyObject_GenericGetAttr"(object thing, object name)
    void drop "Py_DECREF"(PyObject *thing)

set_unusual = []  # pyzmq's own way, for names that nothing has
cdef object names_of = weakref.WeakKeyDictionary()  # what the classes of sockets have or declare


cdef set known_names(kind):
    """Return the names of a class's attributes, and those that it has annotations for."""
    cdef set names = names_of.get(kind)
    if names is None:
        names = set()
        for base in kind.__mro__:
            names.update(base.__dict__, base.__dict__.get("__annotations__", ()))
        names_of[kind] = names
    return names


cdef bint has_attribute(Socket zsock, str name):
    cdef PyObject *found = get_usual(zsock, name)
    if found == NULL:
        PyErr_Clear()
        return False
    drop(found)
    return True


def set_attribute(Socket zsock not None, given, value):
    """Set an attribute, or an option that is spelled in another way."""
    cdef str name = str.__str__(given)  # a subclass of str is one, too
    if name.lower() in ("subscribe", "unsubscribe"):
        zsock.set(
            SocketOption[name.upper()], value.encode() if isinstance(value, str) else value
        )
    elif name in known_names(type(zsock)) or not set_unusual or has_attribute(zsock, name):
        set_usual(zsock, name, value)
        # A test, or a tracer of calls, may exchange what is called for each part.
        zsock.given_send = zsock.given_send or name == "send"
        zsock.given_recv = zsock.given_recv or name == "recv"
        zsock.given_load = zsock.given_load or name == "_deserialize"
    else:
        set_unusual[0](zsock, name, value)
