"""What several test files need: OS threads whose outcome can be asked for, and waiting for it."""

import threading
import time

LONG = 10.0  # seconds that nothing here takes unless it hangs

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

    def value(self):
        self.join(LONG)
        assert not self.is_alive(), "it hangs"
        if self.error is not None:
            error, self.error = (
                self.error,
                None,
            )  # its traceback holds on to frames, and so to sockets
            raise error
        return self.result


def until(condition):
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)
