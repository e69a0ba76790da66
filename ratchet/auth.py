"""Keys and certificates of CURVE, and who may connect to a socket.

::

    keys = auth.generate()
    server = zmqsocket.new("REP", curve=keys, clients=["…", Path("clients")])
    client = zmqsocket.new("REQ", curve=my_keys, server=keys.public)

`log` says who was refused, why, and from where; it is silent unless the program sets `logging` up.
"""

from __future__ import annotations

from ._access import ANY, log
from ._certificates import CurveKeys, generate, load, save

__all__ = ["ANY", "CurveKeys", "generate", "load", "log", "save"]
