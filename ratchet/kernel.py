"""The scheduler of ratchet threads: deadlines, descriptors, signals, errors and the end.

Theory of operation
-------------------
A kernel belongs to the OS thread that calls `Ratchet.loop`. Each turn of the loop runs every
thread that is ready, once (`_kernel.pxi`), then asks the operating system what has happened, with
patience only if nobody is ready, then resumes whose deadline has passed.

Sockets' descriptors are registered once and stay registered, edge-triggered: ZMQ_FD rings for
each change, and a ring that nobody waits for costs nothing and needs no answer. An idle socket
costs nothing per turn, so ten thousand of them do not either. Other descriptors are registered
while somebody waits for them.

A thread has at most one entry in the heap of deadlines for its pause and one for its alarm. An
entry may lie earlier than the deadline it stands for; it is put back when its time comes. So a
thread that pauses 100,000 times a second with a timeout of 10 s adds one entry in 10 s.

Every pause checks, when it is resumed, whether what it waits for is there, and pauses again if
not: a resume is a hint, and one too many harms nobody.
"""

from __future__ import annotations

import contextlib
import contextvars
import errno
import functools
import math
import os
import signal
import sys
import threading
import traceback
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TextIO, TypeVar

from . import errors
from ._deadlines import Deadline, Deadlines
from ._platform import PairWakeup, new_poll
from ._zmq import (
    KernelBase,
    Selection,
    SocketBase,
    ThreadBase,
    Tracker,
    add_watcher,
    at_the_end,
    current_kernel,
    current_thread,
    hear_signals,
    pin,
    process_generation,
    remove_watcher,
    set_runtime,
    to_deadline,
    to_timeout,
    unpin,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import ThreadPoolExecutor

    from ._zmq import Doorbell

__all__ = ["Kernel", "Ratchet", "Thread", "new", "run"]

T = TypeVar("T")

_kernels: weakref.WeakSet[Kernel] = weakref.WeakSet()

# While every thread waits for an unpause that only another OS thread could do, the loop looks this
# often (seconds) whether such a thread is left.
LAST_HOPE = 0.25
# A thread that is still there this long (seconds) after it was killed, at the end of its kernel, is
# killed again, so often, and then left behind.
KILL_AGAIN = 1.0
KILLS = 10
# The home of threads whose OS thread is not in this forked child: no thread has this identifier,
# while that of one that is not there may be another's next.
NOWHERE = -1
# Threads of the pool that runs offloaded functions.
WORKERS = 32


class Thread(ThreadBase):
    """A ratchet thread, made by `ratchet.thread.attach`.

    Attributes:
        done (bool): has it ended, in whichever way?
        name (str): of the function it runs.
    """

    __slots__ = ()

    def result(self, timeout: float | None = None) -> Any:
        """Wait until it has ended; what its function returned, or the exception it raised.

        From a ratchet thread this pauses; from another OS thread it sleeps.

        Args:
            timeout: seconds; None: for ever.

        Raises:
            Timeout: it has not ended in time.
            Error: ECANCELED: it was killed.
        """
        kernel: Kernel = self.kernel  # type: ignore[assignment]
        if not self.done and not kernel.join(self, timeout):
            raise errors.Timeout(
                errno.ETIMEDOUT, f"{self!r} has not ended within {to_timeout(timeout):g} s"
            )
        if isinstance(self.error, errors.Killed):
            raise errors.Error(errno.ECANCELED, f"{self!r} was killed")
        if self.error is not None:
            raise self.error
        return self.value

    def __repr__(self) -> str:
        if self.done:
            state = "done" if self.error is None else f"ended by {self.error!r}"
        elif self.paused_on is not None:
            seconds = monotonic() - self.paused_since
            state = f"paused on {self.paused_on!r} for {seconds:.3f} s"
        else:
            state = "running" if self.kernel.current is self else "ready"
        return f"<ratchet.thread.Thread {self.name} at {id(self):#x}, {state}>"


class Kernel(KernelBase):
    """What `Ratchet` hands out to users. Threads refer to this one, so that the other can go."""

    def __init__(self, on_error: Callable[[BaseException, Thread], object] | None) -> None:
        self.on_error = on_error
        self.home: int | None = None  # the OS thread in which threads have run
        self.maker = threading.get_ident()
        self._deadlines = Deadlines()
        self.heap = self._deadlines.heap
        self._outer: KernelBase | None = None  # a kernel in whose thread this one is closed
        self._wakeup_before: int | None = None  # for signals; None: of a parent process
        self._held: list[object] | None = None  # what is closed while a descriptor is registered
        self._handlers: dict[int, Any] = {}  # of signals we took over, as they were before
        self._sigwaits: dict[int, list[list[Any]]] = {}  # [thread, has it come?]
        self._pending: set[int] = set()  # signals that came while nobody waited
        self._disturbed = False  # an exception left the loop: what was rung may be lost
        self._pool: ThreadPoolExecutor | None = None
        self._open()
        _kernels.add(self)

    def _open(self) -> None:
        born = process_generation()
        try:
            wakeup, poll = PairWakeup(), new_poll()
            poll.watch(wakeup.fileno(), True, False)
        except OSError as error:
            raise _cannot("make a kernel", error) from None
        pin(poll)  # in a forked child for good: its destructor would close by number
        self._wakeup, self._poll = wakeup, poll
        self.write_fd = wakeup.write_fileno()
        self.poll_fd = poll.fileno()
        self.poll_wait = poll.wait
        self.edge = poll.edge
        self.born = born

    def own(self) -> None:
        """Have descriptors of this process's: in a forked child not before they are needed, for it
        may close all that it has first.
        """
        if self.born != process_generation():
            self._open()
            if self.owner is not None and current_kernel() is self:
                self._hear_signals()

    def _hear_signals(self) -> None:
        """A signal may land on any thread; this wakes the one that runs the handlers."""
        if threading.current_thread() is threading.main_thread():
            before = hear_signals(self.write_fd)
            if self._wakeup_before is None:
                self._wakeup_before = before

    # Threads

    def attach(
        self, func: Callable[..., Any], args: Any, kwargs: Any, background: bool = False
    ) -> Thread:
        """A new thread, which starts on the next turn."""
        if not callable(func):
            raise TypeError(f"a thread runs a function, not {type(func).__name__}")
        if self.closed:
            raise errors.StateError(errno.EBADF, "the kernel of this thread has ended")
        thread = Thread(self, func, args, kwargs, background)
        thread.context = contextvars.copy_context()
        self.threads.add(thread)
        self.foreground += not background
        self.resume(thread)
        return thread

    def kill(self, thread: Thread) -> None:
        """End ``thread`` by raising `Killed` in it. From any OS thread."""
        if thread.done:
            return
        if thread is current_thread():
            raise errors.Killed
        thread.throw(errors.Killed())
        self.resume(thread)

    def pause_until(self, why: object, until: float) -> None:
        """Pause the running thread until it is resumed for whatever reason, or that time."""
        self.suspend(self.current, why, until)

    def pause_stuck(self, why: object) -> None:
        """The same, where only another thread can resume it: what a deadlock is made of."""
        self.stuck += 1
        try:
            self.suspend(self.current, why, math.inf)
        finally:
            self.stuck -= 1

    def join(self, thread: Thread, timeout: float | None) -> bool:
        """Wait for the end of ``thread``; False if the time was up first."""
        me: Thread | None = current_thread()  # type: ignore[assignment]
        if me is thread:
            raise errors.StateError(errno.EDEADLK, f"{thread!r} cannot wait for its own end")
        deadline = to_deadline(timeout)
        if me is not None:
            return self.wait_all([thread], deadline, me)
        if threading.get_ident() in (self.owner, self.home or self.maker):
            raise errors.StateError(
                errno.EDEADLK,
                f"{thread!r} cannot end while its own OS thread waits for it: run loop() first",
            )
        ended = threading.Event()
        _joiners(thread).append(ended.set)
        try:
            while not thread.done and (left := deadline - monotonic()) > 0:
                ended.wait(None if left == math.inf else min(left, threading.TIMEOUT_MAX))
            return thread.done
        finally:
            _unjoin(thread, ended.set)

    @staticmethod
    def wait_all(threads: list[Thread], deadline: float, me: Thread) -> bool:
        """Pause ``me`` until all ``threads`` have ended."""
        kernel: Kernel = me.kernel  # type: ignore[assignment]

        def ended() -> None:
            kernel.resume(me)

        watched = [thread for thread in threads if not thread.done]
        for thread in watched:
            _joiners(thread).append(ended)
        try:
            while alive := [thread for thread in watched if not thread.done]:
                if monotonic() >= deadline:
                    return False
                why = f"the end of {', '.join([thread.name for thread in alive[:3]])}"
                if deadline == math.inf and all(t.kernel is kernel for t in alive):
                    kernel.pause_stuck(why)
                else:
                    kernel.pause_until(why, deadline)
            return True
        finally:
            for thread in watched:
                _unjoin(thread, ended)

    # Deadlines

    def set_deadline(self, thread: ThreadBase, until: float) -> None:
        """Resume ``thread`` at ``until``, unless it has another wish by then."""
        if thread.timer is None:
            thread.timer = Deadline(lambda: self.resume(thread))
        self._deadlines.arm(thread.timer, until)

    def set_alarm(
        self, thread: Thread, seconds: float | None, callback: Callable[[], object] | None
    ) -> None:
        """Raise `Alarm` in ``thread`` after ``seconds``; None: no more."""
        if thread.alarm is not None:
            self._deadlines.drop(thread.alarm)
            thread.alarm = None
        if seconds is None:
            return

        def ring() -> None:
            thread.alarm = None
            if thread.done or isinstance(thread.thrown, errors.Killed):
                return
            text = f"{thread!r} is still running after {seconds:g} s"
            thread.throw(errors.Alarm(errno.ETIMEDOUT, text))
            self.resume(thread)
            if callback is not None:
                try:
                    callback()
                except Exception as error:  # noqa: BLE001 (whatever it is, on_error's to judge)
                    self._failed(error, thread)

        thread.alarm = Deadline(ring)
        self._deadlines.arm(thread.alarm, monotonic() + seconds)

    def ring_deadlines(self) -> None:
        """Act on every deadline that has passed."""
        self._deadlines.ring()

    # Descriptors

    def watch(self, bell: Doorbell) -> None:
        """Have the bell of a socket answered from now on."""
        self.own()
        if not add_watcher(bell, self) or not isinstance(bell, (Selection, SocketBase, Tracker)):
            return
        # Another OS thread may close the socket at any moment from here on. What it leaves is held
        # meanwhile, so that the descriptor is nobody else's yet.
        self._held = []
        fd = -1
        try:
            fd = bell.fileno()
            self.bells[fd] = weakref.ref(bell)
            self._poll.watch_edge(fd)
            if isinstance(bell, SocketBase) and bell.closed:
                self.bells.pop(fd, None)
                self._poll.forget(fd)
        except BaseException as error:  # not watched, and so to be tried again by who pauses next
            remove_watcher(bell, self)
            self.bells.pop(fd, None)
            if isinstance(error, errors.Error) or not isinstance(error, OSError):
                raise
            if isinstance(bell, SocketBase) and bell.closed:
                return  # who pauses is woken; during an exit nothing is held
            raise _cannot(f"watch {bell!r}", error) from None
        finally:
            self._held = None

    def forget(self, fd: int, closing: object = None) -> None:
        """The socket of that bell is about to be closed. From any OS thread."""
        held = self._held
        if held is not None:
            held.append(closing)
        if fd in self.bells:
            if self.born == process_generation():
                self._poll.forget(fd)
            self.bells.pop(fd, None)  # last: if a signal handler raises before, it is done again

    # Signals

    def wait_signal(self, thread: Thread, number: int) -> None:
        """Pause until the process gets the signal, or got it since the first such wait."""
        if number not in self._handlers:
            if threading.current_thread() is not threading.main_thread():
                raise errors.StateError(
                    errno.EPERM, "sigwait() works in kernels of the main thread, as signals do"
                )

            def handler(number: int, _frame: object) -> None:
                if not self._sigwaits[number]:
                    self._pending.add(number)
                for entry in self._sigwaits[number]:
                    entry[1] = True
                    self.resume(entry[0])

            self._sigwaits[number] = []
            try:
                self._handlers[number] = signal.signal(number, handler)
            except (OSError, ValueError):  # ValueError on Windows
                name = signal.Signals(number).name
                raise errors.argument_error(f"nobody can wait for {name}") from None
        if number in self._pending:
            self._pending.discard(number)
            return
        entry = [thread, False]
        self._sigwaits[number].append(entry)
        try:
            while not entry[1]:
                self.pause_until(f"signal {signal.Signals(number).name}", math.inf)
        finally:
            self._sigwaits[number].remove(entry)

    # Blocking functions

    def offload(self, thread: Thread, func: Callable[..., T], args: tuple[Any, ...]) -> T:
        """Run ``func`` in a worker OS thread and pause for its result."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(WORKERS, "ratchet-offload")
        born = process_generation()
        future = self._pool.submit(contextvars.copy_context().run, func, *args)
        future.add_done_callback(lambda _: self.resume(thread))
        name = getattr(func, "__qualname__", func)
        try:
            while not future.done():
                self.pause_until(f"{name} in a worker", math.inf)
                if born != process_generation():  # a lock of the future may be held for ever
                    raise errors.ForkedError(
                        errno.EBADF, f"{name} runs in a worker of the parent process: call it again"
                    )
        finally:
            if born == process_generation():
                future.cancel()
        return future.result()

    # The loop

    def begin(self, nested: bool = False) -> None:
        """Take this OS thread; ``nested``: from a thread of another kernel."""
        here = threading.get_ident()
        self._outer = current_kernel() if nested else None
        if current_kernel() is not None and not nested:
            raise errors.StateError(
                errno.EBUSY, "a loop inside a loop: this OS thread runs a kernel already"
            )
        if self.owner is not None:
            raise errors.StateError(errno.EBUSY, "another OS thread runs this kernel")
        if self.closed:
            raise errors.StateError(errno.EBADF, "this kernel has ended")
        if self.home not in (None, here) and any(t.glet is not None for t in self.threads):
            raise errors.StateError(
                errno.EPERM, "the threads of this kernel have begun in another OS thread"
            )
        self.own()
        self.owner = self.home = here
        self.take_hub()
        set_runtime(self)
        self._before = set(threading.enumerate())
        self._wakeup_before = None
        self._hear_signals()
        if self._disturbed:
            self._disturbed = False
            for thread in self.threads:
                self.resume(thread)

    def end(self) -> None:
        """Give this OS thread back."""
        outer, self._outer = self._outer, None
        set_runtime(outer)
        self.owner = None
        if threading.current_thread() is not threading.main_thread():
            return
        if outer is not None and self._wakeup_before in (None, outer.write_fd):
            hear_signals(outer.write_fd)
        else:
            hear_signals(-1)
            signal.set_wakeup_fd(-1 if self._wakeup_before is None else self._wakeup_before)

    @contextlib.contextmanager
    def _running(self, nested: bool = False) -> Iterator[None]:
        self.begin(nested)
        try:
            yield
        except BaseException:
            self._disturbed = True
            raise
        finally:
            self.stopping = False
            self.end()

    def loop(self) -> None:
        """Run until every foreground thread has ended, then kill the background."""
        with self._running():
            while self.foreground and not self.stopping:
                self.turn(True)
            if not self.foreground:
                self._kill_all()

    def loop_once(self, noblock: bool) -> bool:
        """One turn."""
        with self._running():
            if self.foreground:
                self.turn(not noblock)
            if not self.foreground:
                self._kill_all()
        return self.foreground > 0

    def idle(self) -> float | None:
        """Every thread waits for another one: how long to sleep; None: not at all."""
        if self._deadlines.any():
            return max(0.0, self._deadlines.first() - monotonic())
        if self.ending:
            return None
        if not self._others():
            raise errors.DeadlockError(errno.EDEADLK, self._deadlock())
        return LAST_HOPE

    def happened(self, fd: int, mask: int) -> None:
        """The loop was woken."""
        if fd == self._wakeup.fileno():
            self._wakeup.clear()

    def bury(self) -> None:
        """Account for threads that have ended."""
        while self.finished:
            thread: Thread = self.finished[0]  # type: ignore[assignment]
            if thread in self.threads:
                self.threads.discard(thread)
                self.foreground -= not thread.background
            for deadline in (thread.timer, thread.alarm):
                if deadline is not None:
                    self._deadlines.drop(deadline)
            thread.timer = thread.alarm = None
            joiners, thread.joiners = thread.joiners, None
            for ended in list(joiners or ()):  # another OS thread may leave them meanwhile
                ended()
            self.finished.popleft()
            if thread.error is not None:
                self._failed(thread.error, thread)

    def _failed(self, error: BaseException, thread: Thread) -> None:
        if isinstance(error, errors.Killed):
            return
        if self.on_error is None or not isinstance(error, Exception):
            raise error
        self.on_error(error, thread)

    def _others(self) -> bool:
        """Is there an OS thread that could resume one of ours? One that is older than the loop
        and runs no kernel cannot know them.
        """
        pool = () if self._pool is None else self._pool._threads
        return any(
            thread not in self._before and thread not in pool for thread in threading.enumerate()
        ) or any(kernel.owner is not None and kernel is not self for kernel in list(_kernels))

    def _deadlock(self) -> str:
        named = sorted(repr(thread) for thread in self.threads)
        more = f" and {len(named) - 10} more" if len(named) > 10 else ""
        return (
            "every ratchet thread waits for another, and nothing is left that could resume one: "
            f"{', '.join(named[:10])}{more}"
        )

    def _kill_all(self) -> None:
        """End every thread that is left, so that its ``finally`` blocks run."""
        failures: list[BaseException] = []
        self.ending = True
        try:
            for _ in range(KILLS):
                for thread in list(self.threads):
                    self.kill(thread)
                until = monotonic() + KILL_AGAIN
                while self.threads and (self.ready or monotonic() < until):
                    beat = Deadline(self.wake_up)
                    self._deadlines.arm(beat, until)
                    try:
                        self.turn(True)
                    except BaseException as error:  # noqa: BLE001 (raised when all have ended)
                        failures.append(error)
                    beat.wanted = math.inf
                    if self.stuck == len(self.threads) and not self.ready:
                        break
                if not self.threads:
                    break
            self.threads.clear()
        finally:
            self.ending = False
        if failures:
            raise failures[0]

    def close(self) -> None:
        """Kill the threads that are left and give back the descriptors. Idempotent."""
        if self.closed:
            return
        here = threading.get_ident()
        if self.born != process_generation():
            self.forked()  # it is dropped before the handlers of a fork have run, perhaps
        try:
            if self.threads and self.owner is None and self.home in (None, here):
                with self._running(nested=True):
                    self._kill_all()
        finally:
            self._release()

    def _release(self) -> None:
        self.closed = True
        for number, before in self._handlers.items():
            signal.signal(number, before)
        self._handlers.clear()
        for reference in list(self.bells.values()):
            bell = reference()
            if bell is not None:
                remove_watcher(bell, self)
        self.bells.clear()
        if self.born == process_generation():
            self._poll.close()
            self._wakeup.close()
            unpin(self._poll)
        self.write_fd = -1
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def forked(self) -> None:
        """In a child process: its descriptors are the parent's, and so are the sockets.

        They are left alone; `own` makes others when they are needed.
        """
        here = threading.get_ident()
        self.asleep = False
        if self.born != process_generation():  # a destructor may have closed it meanwhile
            self.write_fd = self.poll_fd = -1
            self.bells.clear()
        self._pool = self._held = self._wakeup_before = None
        if self.owner != here:
            self.owner = None  # an OS thread that is not here
        if self.home not in (None, here):
            self.home = NOWHERE
        for thread in self.threads:
            self.resume(thread)  # who waits for a socket is told that it is the parent's


def _cannot(what: str, error: OSError) -> errors.Error:
    number = error.errno or errno.EMFILE
    return errors.from_errno(number, f"cannot {what}", error.strerror or os.strerror(number))


def _joiners(thread: Thread) -> list[Callable[[], object]]:
    joiners = thread.joiners
    if joiners is None:
        joiners = thread.joiners = []
    return joiners


def _unjoin(thread: Thread, ended: Callable[[], object]) -> None:
    """Call it no more. The thread may end at this moment, if it is another OS thread's."""
    with contextlib.suppress(ValueError):
        (thread.joiners or []).remove(ended)


def _after_fork() -> None:
    kernels = [kernel for kernel in list(_kernels) if not kernel.closed]
    for kernel in kernels:
        kernel.forked()
    outer = [kernel._outer for kernel in kernels]
    for kernel in kernels:
        if kernel.owner is not None and kernel not in outer:
            set_runtime(kernel)


def _at_exit() -> None:
    for kernel in list(_kernels):
        if kernel.owner is None:  # else it runs, in a daemon
            kernel.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
at_the_end.append(_at_exit)


class Ratchet:
    """A kernel: runs ratchet threads, many in one OS thread. `ratchet.new` makes one.

    Args:
        entry: what its first thread calls, without arguments.
        on_error: called as ``on_error(exception, thread)`` for an exception that a thread does
            not catch. Without it, the exception leaves `loop`, which may be called again.

    When it is dropped, threads that are still alive are killed, so that ``finally`` blocks run.
    """

    def __init__(
        self,
        entry: Callable[[], object],
        on_error: Callable[[BaseException, Thread], object] | None = None,
    ) -> None:
        if on_error is not None and not callable(on_error):
            raise TypeError(f"on_error is a function, not {type(on_error).__name__}")
        if not callable(entry):
            raise TypeError(f"entry is a function, not {type(entry).__name__}")
        self._kernel = Kernel(on_error)
        self._first = self._kernel.attach(entry, (), {})

    def loop(self) -> None:
        """Run until every attached thread has ended; background threads are then killed.

        Raises:
            DeadlockError: every thread waits for another.
            StateError: this OS thread runs a kernel already.
            BaseException: what a thread raised and nobody caught; call `loop` again to go on.
        """
        self._kernel.loop()

    def loop_once(self, noblock: bool = False) -> bool:
        """Run each ready thread once, then wait for events, unless ``noblock``.

        Returns:
            bool: is any attached thread left?
        """
        return self._kernel.loop_once(noblock)

    def stop(self) -> None:
        """Leave `loop` after the current turn. From any thread."""
        self._kernel.stopping = True
        self._kernel.wake_up()

    def attach(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Thread:
        """A new thread; it starts on the next turn of the loop."""
        return self._kernel.attach(func, args, kwargs)

    def attach_background(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Thread:
        """A new thread that `loop` does not wait for."""
        return self._kernel.attach(func, args, kwargs, background=True)

    def get_num_threads(self) -> int:
        """How many threads have not ended, background threads included."""
        return len(self._kernel.threads)

    def get_space(self, thread: Thread, default: T | None = None) -> Any | T | None:
        """The scratch namespace of ``thread``, or ``default`` if it has none."""
        return default if thread.scratch is None else thread.scratch

    def get_method(self) -> str:
        """How it asks the operating system: ``"epoll"``, ``"kqueue"`` or ``"select"``."""
        return self._kernel._poll.method

    def dump(self, file: TextIO | None = None) -> None:
        """Print every thread and its stack, to ``sys.stderr`` unless told otherwise."""
        file = sys.stderr if file is None else file
        for thread in sorted(self._kernel.threads, key=id):
            print(repr(thread), file=file)
            frame = None if thread.glet is None else thread.glet.gr_frame
            if thread is current_thread():
                frame = sys._getframe(1)
            print("".join(traceback.format_stack(frame)) if frame else "", end="", file=file)

    def close(self) -> None:
        """Kill the threads that are left. Idempotent; also at the end of ``with``.

        Raises:
            StateError: it runs; `stop` it before.
        """
        if self._kernel.owner is not None:
            raise errors.StateError(errno.EBUSY, "this kernel runs: stop() it before close()")
        self._kernel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        kernel = getattr(self, "_kernel", None)
        if kernel is not None:
            kernel.close()

    def __repr__(self) -> str:
        return f"<ratchet.Ratchet of {self.get_num_threads()} threads>"


def new(
    entry: Callable[[], object],
    on_error: Callable[[BaseException, Thread], object] | None = None,
) -> Ratchet:
    """A kernel whose first thread calls ``entry``: `Ratchet`."""
    return Ratchet(entry, on_error)


def run(entry: Callable[..., T], *args: Any) -> T:
    """Run ``entry(*args)`` as the first thread of a kernel until every thread has ended.

    Returns:
        what ``entry`` returned.
    """
    with Ratchet(functools.partial(entry, *args) if args else entry) as ratchet:
        ratchet.loop()
        value: T = ratchet._first.value
        return value
