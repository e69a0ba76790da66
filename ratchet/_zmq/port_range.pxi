# Layer 4. Ranges of ports, of which bind takes the first free one: tcp://*:*[5000-5100].

cdef str PORT_RANGE_FORM = (
    "the form of a range of ports is tcp://*:*[5000-5100] or tcp://*:[5000-5100], of ports from 1 "
    "to 65535, the lower one first; without the upper one it goes up to 65535"
)


cdef tuple port_range(str endpoint):
    """Return an endpoint's text up to the port, and its first and last port; None: it has no range.

    Raises:
        ArgumentError: a range that is none.
    """
    if not endpoint.endswith("]"):
        return None
    before, _, ports = endpoint[:-1].rpartition("[")
    address, colon, star = before.rpartition(":")
    if not address.startswith("tcp://") or address == "tcp://" or "\n" in address:
        return None
    if ":" in ports or "]" in ports or "[" in star or "]" in star:
        return None
    before = address + colon
    low, dash, high = ports.partition("-")
    high = high or "65535"
    if (
        star not in ("", "*") or not dash or low == "*" or high == "*"
        or not is_port(low) or not is_port(high) or not 1 <= int(low) <= int(high)
    ):
        raise errors.argument_error(
            f"not an endpoint that can be used: {endpoint!r}; {PORT_RANGE_FORM}")
    return before, int(low), int(high)
