"""Load, faults and misuse, for ratchet and beside it pyzmq: `python -m torture --help`."""
