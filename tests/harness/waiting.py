"""OS threads whose outcome can be asked for, and waiting for it."""

import threading
import time

LONG = 10.0  # seconds that nothing here takes unless it hangs
SHORT = 0.01  # seconds, for what is to pass

# The head of every program that is sent SIGINT. Where the tests were started with SIGINT ignored,
# as a script's background job is, their programs would ignore it as well.
CTRL_C = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"


class Task(threading.Thread):
    """An OS thread whose result or error is handed on; a daemon, so that a hang ends the test."""

    def __init__(self, function, *args, before=lambda: None, **kwargs):
        super().__init__(daemon=True)
        self.call = lambda: function(*args, **kwargs)
        self.before = before
        self.result = self.error = None
        self.start()

    def run(self):
        self.before()
        try:
            self.result = self.call()
        except BaseException as error:
            self.error = error

    def value(self, limit=LONG):
        self.join(limit)
        assert not self.is_alive(), "hangs"
        if self.error is not None:
            # Its traceback holds on to frames, and so to sockets.
            error, self.error = self.error, None
            raise error
        return self.result


def until(condition, what="it", turn=lambda: time.sleep(0.0005)):
    """Wait for a condition; `turn` lets the others run."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, f"waited {LONG} s for {what}"
        turn()
