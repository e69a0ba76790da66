# Layer 4. The abilities of this libzmq beside sockets: its version, its features, CURVE keys.

cdef enum:
    # Draft options, which zmq.h does not name. All of libzmq 4.3 has them by these numbers.
    ZAP_ENFORCE_DOMAIN = 93
    IN_BATCH_SIZE = 101
    OUT_BATCH_SIZE = 102
    HELLO_MSG = 110
    DISCONNECT_MSG = 111
    PRIORITY = 112


def libzmq_version():
    """Return libzmq's version at run time: (major, minor, patch)."""
    cdef int major, minor, patch
    zmq_version(&major, &minor, &patch)
    return major, minor, patch


def has(str capability not None):
    """Return True if libzmq was built with it, in any case (zmq_has(3)).

    "draft": the draft options (docs/options.md); "curve", "gssapi"; the transports "ipc", "pgm",
    "tipc", "norm", "vmci", "ws", "wss".
    """
    # libzmq 4.3 knows all in lower case but "WS" and "WSS".
    return (
        zmq_has(capability.lower().encode()) == 1 or zmq_has(capability.upper().encode()) == 1
    )


cdef bint can_batch():
    """Return True if libzmq has ZMQ_IN_BATCH_SIZE and ZMQ_OUT_BATCH_SIZE, by the numbers of 4.3."""
    version = libzmq_version()
    return version[:2] == (4, 3) and version >= (4, 3, 2) and has("draft")


cdef bint batches = can_batch()


def curve_keypair():
    """Make a CURVE key pair, public and secret, in Z85 (zmq_curve_keypair(3))."""
    cdef char public[41]
    cdef char secret[41]
    if zmq_curve_keypair(public, secret) < 0:
        raise from_errno(zmq_errno(), "cannot make a CURVE key pair")
    return public[:40].decode("ascii"), secret[:40].decode("ascii")


def curve_public(str secret not None):
    """Return the public key that belongs to a secret one, both in Z85 (zmq_curve_public(3))."""
    cdef char public[41]
    key = secret.encode("ascii", "replace")
    if len(key) != 40 or zmq_curve_public(public, key) < 0:
        raise errors.argument_error("a CURVE secret key in Z85 has 40 characters; this is not one")
    return public[:40].decode("ascii")


def error_text(int number):
    """Return libzmq's text for an errno (zmq_strerror(3))."""
    return zmq_strerror(number).decode("utf-8", "replace")
