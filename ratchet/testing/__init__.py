"""What tests of programs that use ratchet need, as context managers and as pytest's fixtures.

Nothing here needs pytest but the fixtures, which a ``conftest.py`` turns on::

    pytest_plugins = ["ratchet.testing"]

- `pair` (``ratchet_pair``): two sockets, connected.
- `free_endpoint` (``ratchet_endpoint``): an endpoint that nobody else has.
- `Peer` (``ratchet_peer``): a function or a text with a socket, in a process of its own.
- `Line` (``ratchet_line``): a connection that loses, delays and is cut when the test says so.
- `no_leaks` (``ratchet_no_leaks``): an error for each socket that is left open, and where it was
  made.

PYTEST_DONT_REWRITE: without this word pytest warns where a test has imported the module first.
"""

from .endpoints import free_endpoint
from .leaks import no_leaks
from .line import Line
from .pairs import pair
from .peer import Peer, PeerError
from .way import Way

__all__ = ["Line", "Peer", "PeerError", "Way", "free_endpoint", "no_leaks", "pair"]

# pytest reads this where the module is a plugin, and only then is pytest imported.
pytest_plugins = ["ratchet.testing.fixtures"]
