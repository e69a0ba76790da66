"""What hostile peers send: whole and broken handshakes of every mechanism, as bytes (RFC 23)."""

import struct

MARK = b"let me in"  # the message that nobody may ever receive


def greeting(mechanism=b"NULL", *, minor=0, server=False):
    """The greeting of ZMTP 3."""
    head = b"\xff" + bytes(8) + b"\x7f" + bytes([3, minor])
    return head + mechanism.ljust(20, b"\0") + bytes([server]) + bytes(31)


def frame(data, *, command=False, more=False):
    """One frame of ZMTP 2 and 3."""
    flags = (4 if command else 0) | (1 if more else 0)
    if len(data) > 255:
        return struct.pack(">BQ", flags | 2, len(data)) + data
    return struct.pack(">BB", flags, len(data)) + data


def prop(name, value):
    """One property of a handshake."""
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


PROPERTIES = prop(b"Socket-Type", b"DEALER") + prop(b"Identity", b"")
MESSAGE = frame(MARK)


def null():
    """NULL's whole handshake, and the message."""
    return greeting() + frame(b"\x05READY" + PROPERTIES, command=True) + MESSAGE


def plain(name, password):
    """PLAIN's, which does not wait for the server's part."""
    hello = b"\x05HELLO" + bytes([len(name)]) + name + bytes([len(password)]) + password
    initiate = b"\x08INITIATE" + PROPERTIES
    return greeting(b"PLAIN") + frame(hello, command=True) + frame(initiate, command=True) + MESSAGE


def old(version):
    """The whole of ZMTP 1 and 2, which have no handshake."""
    if version == 1:  # RFC 13: the length counts the flags
        return b"\x01\x00" + bytes([len(MARK) + 1]) + b"\x00" + MARK
    dealer = 5
    head = b"\xff" + bytes(7) + b"\x01\x7f"
    if version == 1.5:  # with a signature, and no revision that is known
        return head + b"\x00" + bytes([dealer]) + b"\x01\x00" + bytes([len(MARK) + 1, 0]) + MARK
    return head + b"\x01" + bytes([dealer]) + b"\x00\x00" + MESSAGE


def curve_commands():
    """CURVE's commands, of the right form and with nothing right in them (RFC 26)."""
    hello = b"\x05HELLO" + b"\x01\x00" + bytes(72) + b"k" * 32 + bytes(7) + b"\x01" + b"b" * 80
    initiate = b"\x08INITIATE" + b"c" * 96 + bytes(7) + b"\x02" + b"d" * 144
    message = b"\x07MESSAGE" + bytes(7) + b"\x03" + b"e" * 40
    return [frame(hello, command=True), frame(initiate, command=True), frame(message)]
