# Layer 4. Endpoints that are refused before libzmq sees them, since it misreads them or crashes.
#
# Others libzmq would try for ever without a word. `check_endpoint` finds faults that do not depend
# on the call, `endpoint_fault` those with which a bind or a connect can never succeed;
# `ipc_rules.pxi` judges files. A fault is a text that says what is wrong and what to do; None
# stands for no fault. An endpoint that may succeed later, such as one with a name that is not known
# yet, has no fault.

cdef enum EndpointCall:
    BIND, CONNECT, UNBIND, DISCONNECT

# Bytes that DNS can carry: of a name, without its last dot, and of one label of it.
cdef int LONGEST_NAME = 253
cdef int LONGEST_LABEL = 63
# Interfaces that an error names.
cdef int FEW_INTERFACES = 8
# Of an IPv4 address, and of a host's name.
cdef str IN_NUMBERS = "0123456789."
cdef str IN_NAMES = IN_NUMBERS + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-"


cdef str plain_endpoint(endpoint):
    """Return the endpoint as a plain str; raise if it is none."""
    if not isinstance(endpoint, str):
        raise TypeError(f"an endpoint is a str, such as 'tcp://*:1337', not {kind_of(endpoint)}")
    return str.__str__(endpoint)  # the text of a subclass, such as a member of a StrEnum


cdef bytes c_endpoint(str endpoint):
    """Check the endpoint, and return it as libzmq takes it."""
    check_endpoint(endpoint)
    return os.fsencode(endpoint)


cdef int check_endpoint(str endpoint) except -1:
    """Raise for what is no endpoint, and for what libzmq misreads or dies of."""
    why = form_fault(endpoint)
    if why is not None:
        raise errors.argument_error(f"not an endpoint that can be used: {endpoint!r}; {why}")
    if endpoint.startswith("tipc://") and zmq_has(b"tipc") and not system_has("AF_TIPC"):
        # libzmq would try to connect for ever.
        raise errors.from_errno(
            errno.EPROTONOSUPPORT, f"{endpoint!r}", "this system has no TIPC (modprobe tipc)"
        )
    return 0


cdef str form_fault(str endpoint):
    """Find what is wrong with the form of an endpoint, whichever call it is for."""
    transport, slashes, address = endpoint.partition("://")
    if "\0" in endpoint:
        return "it has a NUL character in it"
    if endpoint.endswith(("\n", "\r")):
        return "it ends with the end of a line: endpoint.strip() takes that off"
    if not slashes or not transport or not address:
        return "the form is TRANSPORT://ADDRESS, such as 'tcp://*:1337'"
    if transport == "tcp":
        return port_fault(address)
    if transport == "norm":
        return "ratchet does not use norm: libzmq 4.3 may abort the process"
    if transport == "wss" and zmq_has(b"WSS"):
        return "ratchet does not use wss: libzmq 4.3 aborts on a certificate that it cannot read"
    if transport == "pgm" and not raw_socket_allowed():
        return "pgm needs the right to open raw sockets; libzmq would abort the process"
    return group_fault(address) if transport in ("pgm", "epgm") else None


cdef str group_fault(str address):
    """Find what is wrong with the groups of ``interface;receive;send:port``, as OpenPGM has it."""
    fields = address.rpartition(":")[0].split(";")
    if len(fields) > 2 and fields[2] and (":" in fields[1]) != (":" in fields[2]):
        return (
            "it would receive and send in groups of two kinds, IPv4 and IPv6, and libzmq would "
            "abort the process; where no group to receive from is named, that is one of IPv4"
        )
    return None


cdef str port_fault(str address):
    """Find what is wrong with a tcp address, whichever call it is for."""
    port = address.rpartition(":")[2]
    if is_port(port):
        return None
    if address != "".join(address.split()):
        return "a tcp endpoint has no white space in it"
    if "/" in port:
        return "a tcp endpoint ends with its port, and has no path"
    return (
        "a tcp endpoint ends with a colon and a port from 1 to 65535, or * to have one picked; an "
        "IPv6 address stands in brackets, as in tcp://[::1]:1337"
    )


cdef bint is_port(str port):
    if port == "*":
        return True
    # Python refuses to read thousands of digits as a number.
    return port.isascii() and port.isdigit() and len(port) < 100 and int(port) < 65536


cdef bint raw_socket_allowed():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, 113).close()
    except OSError:
        return False
    return True


cdef str NO_PORT = (
    "no peer can listen on port 0; connect needs the port that the peer's bind returned")


cdef str endpoint_fault(str endpoint, bint binding, bint ipv6):
    """Find why a bind or connect to this can never succeed, whatever else happens."""
    transport, _, address = endpoint.partition("://")
    if transport == "tcp":
        source, semicolon, target = address.rpartition(";")
        if semicolon and not binding:
            return source_fault(source, ipv6) or target_fault(target, False, ipv6)
        return target_fault(target, binding, ipv6)
    if transport in ("ws", "wss"):  # libzmq says at once what else is wrong with these
        host, _, port = address.partition("/")[0].rpartition(":")
        if not binding and port and not port.strip("0"):
            return NO_PORT
        host = bare_host(host)
        return ipv6_fault(host, ipv6) if ":" in host else None
    if transport == "ipc" and address == "@":
        return "a name follows the @ of an abstract ipc endpoint"
    if transport == "ipc" and address.startswith("*") and not binding:
        return (
            "* has bind make a path up; connect needs the path that it returned, and a path that "
            "does begin with * is written ./*"
        )
    return None


cdef str target_fault(str address, bint binding, bint ipv6):
    """Find what is wrong with HOST:PORT, the address to bind or connect to."""
    host, _, port = address.rpartition(":")
    if not binding and port == "*":
        return "* is for bind; connect needs the port that the peer's bind returned"
    if not binding and int(port) == 0:
        return NO_PORT
    if port not in ("*", "0") and int(port) == 0:
        return "* or a single 0 has bind pick a port"
    if not host:
        return "it names no host: * means every interface to bind, 127.0.0.1 is this machine"
    if host != "".join(host.split()):
        return "a tcp endpoint has no white space in it"
    if host == "*" and not binding:
        return "* is for bind; connect needs a host, such as 127.0.0.1 for this machine"
    return address_fault(host, ipv6) or (None if binding else name_fault(bare_host(host)))


cdef str source_fault(str source, bint ipv6):
    """Find what is wrong with SOURCE of SOURCE;HOST:PORT, for which libzmq looks up no names."""
    host, colon, port = source.rpartition(":")
    if not colon or not is_port(port):
        return "the source, before the semicolon, ends with a port too; with :0 one is picked"
    why = address_fault(host, ipv6)
    bare = bare_host(host)
    if why is None and not (
        host == "*" or is_numeric(bare, False) or is_numeric(bare, True)
        or os.name == "nt" or bare in interfaces()
    ):
        why = (
            "the source, before the semicolon, is an address or an interface of this machine, and "
            f"no host's name; the interfaces here are {listed(interfaces())}"
        )
    return why


cdef str address_fault(str host, bint ipv6):
    """Find what is wrong with a host that is an address, not a name."""
    bare = bare_host(host)
    _, percent, zone = host.removesuffix("]").rpartition("%")
    if percent and not zone:
        return "a zone, such as %eth0, follows the %"
    if percent and zone[:1].isalpha() and os.name != "nt" and zone not in interfaces():
        return f"no network interface has the name {zone}; there are {listed(interfaces())}"
    if ":" in bare:
        return ipv6_fault(bare, ipv6)
    if has_only(bare, IN_NUMBERS) and not is_numeric(bare, False):
        return f"{bare} is no IPv4 address"
    return None


cdef str ipv6_fault(str bare, bint ipv6):
    if is_numeric(bare, ipv6):
        if ipv6 and not is_numeric(bare, False) and not system_has("AF_INET6"):
            return f"{bare} is an IPv6 address, and this system has no IPv6"
        return None
    if is_numeric(bare, True):
        return (
            f"{bare} is an IPv6 address, which this socket does not use: set ipv6=True first "
            "(IPv4 goes on working)"
        )
    return f"{bare} is no IPv6 address; one stands in brackets, as in tcp://[::1]:1337"


cdef str name_fault(str name):
    """Find what is wrong with a host's name."""
    name = name.removesuffix(".")
    if has_only(name, IN_NUMBERS) or ":" in name:
        return None  # an address
    if not name.isascii():
        return "a host's name is in ASCII: name.encode('idna').decode() is that of another"
    if not has_only(name, IN_NAMES):
        return "a host's name has letters, digits, - and . in it, and nothing else"
    if len(name) > LONGEST_NAME:
        return f"a host's name has at most {LONGEST_NAME} characters; this has {len(name)}"
    for label in name.split("."):
        if not 0 < len(label) <= LONGEST_LABEL:
            return f"between the dots of a host's name are 1 to {LONGEST_LABEL} characters"
    return None


cdef bint has_only(str text, str characters):
    """Return True for a text of these characters alone. `re` for it would slow the import down."""
    return text != "" and text.strip(characters) == ""


cdef str bare_host(str host):
    """Return the host as libzmq looks it up: without brackets and zone."""
    if host.startswith("[") and host.endswith("]"):
        host = host.removeprefix("[").removesuffix("]")
    bare, percent, _ = host.rpartition("%")
    return bare if percent else host


cdef bint is_dotted(str bare):
    """Return True for four numbers: what getaddrinfo takes as well, but for a tenth of the time."""
    try:
        socket.inet_pton(socket.AF_INET, bare)
    except (OSError, ValueError):  # UnicodeError is a ValueError
        return False
    return True


cdef bint is_numeric(str bare, bint ipv6):
    """Return True for an address to libzmq, which asks the same (ip_resolver.cpp, 4.3.4)."""
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    if not ipv6 and is_dotted(bare):
        return True
    flags = socket.AI_NUMERICHOST | (getattr(socket, "AI_V4MAPPED", 0) if ipv6 else 0)
    try:
        socket.getaddrinfo(bare, None, family, socket.SOCK_STREAM, 0, flags)
    except (OSError, UnicodeError):
        return False
    return True


cdef bint system_has(str family) except -1:
    """Return True if the operating system makes sockets of this address family."""
    try:
        socket.socket(getattr(socket, family), socket.SOCK_STREAM).close()
    except AttributeError:
        return True  # Python was built without it, which says nothing
    except OSError as error:
        return error.errno != errno.EAFNOSUPPORT
    return True


cdef list interfaces():
    try:
        return [name for _, name in socket.if_nameindex()]
    except (AttributeError, OSError):
        return []


cdef str listed(list names):
    return ", ".join(names[:FEW_INTERFACES]) + (", …" if len(names) > FEW_INTERFACES else "")


cdef str bind_hint(int number, str endpoint):
    """Return what to say of a bind that failed instead of the errno's own remedy, or None."""
    transport, _, address = endpoint.partition("://")
    if transport == "ipc" and number == errno.ENOENT:
        return f"its folder {os.path.dirname(address)!r} does not exist: make it first"
    if transport != "tcp" or number != errno.ENODEV:
        return None
    host, _, port = address.rpartition(":")
    if host == "localhost":
        instead = f"tcp://127.0.0.1:{port} is what localhost stands for"
    else:
        instead = f"the interfaces here are {listed(interfaces())}"
    return (
        "bind takes an address or an interface of this machine, or * for all of them, and a host's "
        f"name only if libzmq (4.3.5 and later) can look it up: {instead}"
    )
