# Options as attributes, such as ``linger``.
#
# pyzmq finds them in a ``__getattr__`` in Python, and a class that has one pays for it in every
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
                # ``type`` stands in the dict of each socket, where it outlives the socket's end.
                if spelling != "type" and not hasattr(kind, spelling):
                    setattr(kind, spelling, OptionAttribute(name, option))
