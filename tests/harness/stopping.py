"""Runtimes that run only when they are told to, and calls in runtimes that run by themselves."""

import asyncio

import pytest

import ratchet
from harness.internals import paused_calls
from harness.runtimes import BlindLoop, uvloop
from harness.waiting import LONG
from ratchet import thread


class Left(BaseException):
    """What a kernel is left by."""


class StoppedLoop:
    """Tasks in a loop that runs only when it is told to."""

    factory = staticmethod(asyncio.new_event_loop)

    def __init__(self):
        self.loop = self.factory()

    def begin(self, zsock, name, *args, **kwargs):
        """Make a call, which pauses, or is over before that is seen."""
        before = paused_calls(zsock)

        async def call():
            return await getattr(zsock, name)(*args, **kwargs)

        async def paused():
            while paused_calls(zsock) == before and not task.done():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0)

        task = self.loop.create_task(call())
        self.loop.run_until_complete(asyncio.wait_for(paused(), LONG))
        return task

    def do(self, function):
        """Start ``await function(call)`` and stop when it has called ``stop``; return its task."""

        async def main():
            async def call(zsock, name, *args, **kwargs):
                return await getattr(zsock, name)(*args, **kwargs)

            return await function(call, self.stop)

        task = self.loop.create_task(main())
        self.loop.run_forever()
        return task

    async def stop(self):
        self.loop.stop()
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # uvloop stops one turn later

    def ring_and_stop(self, ring):
        """Whoever is woken by the look does not run any more."""

        def last():
            self.loop.stop()
            ring()

        self.loop.call_soon(last)
        self.loop.run_forever()

    def result(self, task):
        return self.loop.run_until_complete(asyncio.wait_for(task, LONG))

    def forget(self, task):
        """End it without a word."""
        task._log_destroy_pending = False

    def close(self):
        if self.loop.is_closed():
            return

        async def end():
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

        self.loop.run_until_complete(end())
        self.loop.close()

    def die(self):
        for task in asyncio.all_tasks(self.loop):
            self.forget(task)
        self.loop.close()


class StoppedBlindLoop(StoppedLoop):
    factory = BlindLoop


class StoppedUvloop(StoppedLoop):
    @staticmethod
    def factory():
        return uvloop.new_event_loop()

    def ring_and_stop(self, ring):
        def last():
            self.loop.stop()
            self.loop.call_soon(ring)

        self.loop.call_soon(last)
        self.loop.run_forever()


class StoppedKernel:
    """Ratchet threads in a kernel that runs only when it is told to."""

    def __init__(self):
        self.kernel = ratchet.new(lambda: None, on_error=lambda *_: None)
        self.keeper = self.kernel.attach(thread.pause)  # loop_once() kills what it waits for not
        self.kernel.loop_once(noblock=True)

    def begin(self, zsock, name, *args, **kwargs):
        before = paused_calls(zsock)
        sync = getattr(zsock, "sync", zsock)
        task = self.kernel.attach(getattr(sync, name), *args, **kwargs)
        while paused_calls(zsock) == before and not task.done:
            self.kernel.loop_once(noblock=True)
        return task

    def do(self, function):
        async def call(zsock, name, *args, **kwargs):
            return getattr(getattr(zsock, "sync", zsock), name)(*args, **kwargs)

        def main():
            try:
                function(call, self.stop).send(None)
            except StopIteration as end:
                return end.value
            raise AssertionError("it suspended")

        task = self.kernel.attach(main)
        self.turn()
        return task

    async def stop(self):
        self.kernel.stop()
        thread.timer(0)

    def turn(self):
        self.kernel.loop()

    def ring_and_stop(self, ring):
        def last():
            self.kernel.stop()
            ring()
            thread.timer(0)  # a turn goes on with who is ready meanwhile when a thread ends

        self.kernel.attach(last)
        self.kernel.loop()

    def result(self, task):
        def ended():
            thread.wait_all([task])
            self.kernel.stop()

        self.kernel.attach(ended)
        self.kernel.attach_background(self._limit)
        self.kernel.loop()
        if not task.done:
            raise TimeoutError
        return task.result(0)

    @staticmethod
    def _limit():
        thread.timer(LONG)
        raise TimeoutError

    def close(self):
        self.kernel.close()

    die = close


class LeftKernel(StoppedKernel):
    """The same, left by an exception."""

    def leave(self):
        def leave():
            raise Left

        self.kernel.attach(leave)
        with pytest.raises(Left):
            self.kernel.loop()

    def begin(self, zsock, name, *args, **kwargs):
        task = super().begin(zsock, name, *args, **kwargs)
        self.leave()
        return task

    async def stop(self):
        def leave():
            raise Left

        self.kernel.attach(leave)
        thread.timer(0)
        thread.timer(0)

    def turn(self):
        with pytest.raises(Left):
            self.kernel.loop()

    def ring_and_stop(self, ring):
        def last():
            ring()
            raise Left

        self.kernel.attach(last)
        with pytest.raises(Left):
            self.kernel.loop()


def in_os_thread(zsock, name, *args, **kwargs):
    return getattr(zsock.sync, name)(*args, **kwargs)


def in_kernel(zsock, name, *args, **kwargs):
    return ratchet.run(lambda: getattr(zsock.sync, name)(*args, **kwargs))


def in_loop(factory):
    def run(zsock, name, *args, **kwargs):
        async def call():
            return await getattr(zsock, name)(*args, **kwargs)

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(call())

    return run


STOPPED = {
    "asyncio": StoppedLoop,
    "watched": StoppedBlindLoop,
    "kernel": StoppedKernel,
    "left kernel": LeftKernel,
}
RUNNING = {
    "OS thread": in_os_thread,
    "kernel": in_kernel,
    "asyncio": in_loop(asyncio.new_event_loop),
    "watched": in_loop(BlindLoop),
}
if uvloop:
    STOPPED["uvloop"] = StoppedUvloop
    RUNNING["uvloop"] = in_loop(uvloop.new_event_loop)
