"""Forked children that close all descriptors: event loops, daemons, workers, and how they end."""

import functools
import os

import pytest
from harness.fork_programs import run_program

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


@pytest.fixture
def run(tmp_path):
    return functools.partial(run_program, tmp_path)


# asyncio


@pytest.mark.parametrize("closes", [True, False])
@pytest.mark.parametrize("how", ["cancel", "drop"])
def test_a_fork_in_a_task_beside_tasks_that_wait(run, closes, how):
    """The epoll is the parent's too: what is unregistered in the child would be so in both."""
    run(f"""
        async def main():
            got = []
            one, two = linked(ratchet.asyncio.new)
            lent = ratchet.asyncio.new("PUSH", linger=0.0)
            lent.bind("tcp://127.0.0.1:*")
            lent.connect("tcp://127.0.0.1:1")
            tracker = await lent.send(bytearray(9000), copy=False)

            async def wait_for(tracker):
                await tracker

            receiver = asyncio.create_task(one.recv_all(timeout=20))
            waiter = asyncio.create_task(wait_for(tracker))
            while paused_calls(one) < 1:
                await asyncio.sleep(0.01)
            sync = threading.Thread(target=lambda: got.append(one.sync.recv_all(timeout=20)))
            sync.start()
            while paused_calls(one) < 2:
                await asyncio.sleep(0.01)

            def child(turn):
                own = Own(turn) if {closes} else None
                for task in (receiver, waiter):
                    coroutine = task.get_coro()
                    if {how == "cancel"}:
                        try:
                            coroutine.throw(asyncio.CancelledError())
                        except asyncio.CancelledError:
                            pass
                        else:
                            raise AssertionError("it went on")
                    else:
                        coroutine.close()
                    del task, coroutine
                gc.collect()
                one.close(), two.close(), lent.close()
                gc.collect()
                own and own.check()
                asyncio.events._set_running_loop(None)
                use_all()
                own and own.check()

            for turn in range(4):
                fork(child, turn)
            await two.send(b"first")
            assert await receiver == b"first"
            await two.send(b"second")
            while not got:
                await asyncio.sleep(0.01)
            sync.join()
            assert got == [b"second"]
            lent.close()
            await asyncio.wait_for(waiter, 10)
            one.close(), two.close()

        asyncio.run(main())
    """)


def test_a_loop_of_the_parents_is_refused_in_the_child(run):
    """Its epoll is shared: what the child registers there would wake the parent for ever."""
    run("""
        loop = asyncio.new_event_loop()
        loop.run_until_complete(exchange_task())

        def child():
            async def main():
                one, two = linked(ratchet.asyncio.new)
                with one, two:
                    await two.send(b"needs no loop")
                    try:
                        await two.recv(timeout=1)
                    except ratchet.ForkedError as error:
                        assert "asyncio.run" in str(error), error
                    else:
                        raise AssertionError("it was not refused")
            loop.run_until_complete(main())
            use_all()

        fork(child)
        turns()
        loop.run_until_complete(exchange_task())
        loop.close()
    """)


# Daemons, workers, and how they end


@pytest.mark.parametrize("where", ["OS thread", "ratchet thread", "task"])
def test_a_daemon_by_two_forks(run, where):
    """The one in between uses ratchet as well, before the second closes everything."""
    run(f"""
        one, two = linked()

        def daemonize(turn):
            own, child = [], lambda: (own.append(Own(turn)), work(), own[0].check())
            fork(lambda: (os.setsid(), rest(), fork(child)))
            fork(lambda: (os.setsid(), fork(child)))

        def work():
            if {where == "ratchet thread"}:
                exchange()
                thread.timer(0.01)
                assert thread.offload(lambda: 5) == 5
                worker = threading.Thread(target=use_all)
                worker.start()
                thread.offload(worker.join)
            else:
                asyncio.events._set_running_loop(None)
                use_all()
            one.close(), two.close()
            gc.collect()

        def ratchet_main():
            exchange()
            for turn in range(4):
                daemonize(turn)
            exchange()

        async def main():
            await exchange_task()
            for turn in range(4):
                daemonize(turn)
            await exchange_task()

        if {where == "OS thread"}:
            ratchet_main()
        elif {where == "ratchet thread"}:
            ratchet.run(ratchet_main)
        else:
            asyncio.run(main())
        two.send(b"unharmed")
        assert one.recv_all(timeout=10) == b"unharmed"
        one.close(), two.close()
    """)


@pytest.mark.parametrize("end", ["sys.exit", "os._exit", "fall off"])
def test_the_exit_of_a_child_with_everything_inherited(run, end):
    """Its last lines are written when Python clears its modules, after ratchet's are gone."""
    run(f"""
        kernels = [ratchet.new(exchange) for _ in range(3)]
        kernels[1].loop_once(noblock=True)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(exchange_task())
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(loop))   # asyncio itself closes by number
        one, two = linked()
        tracker = one.send(bytearray(100_000), copy=False)
        tracker.fileno()
        daemons = [
            threading.Thread(target=ratchet.run, args=(one.recv_all,), daemon=True),
            threading.Thread(target=one.recv_all, daemon=True),
        ]
        for daemon in daemons:
            daemon.start()
        until(lambda: paused_calls(one) == 2)
        exchange()
        for TURN in range(4):
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                own = Own(TURN)
                own.last_words()
                if {end == "os._exit"}:
                    [text.close() for text in own.texts]
                use = zmqsocket.new("PULL")
                with contextlib.suppress(ratchet.Timeout):
                    use.recv(timeout=0.01)
                use.close()
                if {end != "fall off"}:
                    {end if end != "fall off" else "sys.exit"}(0)
                break
            wait(pid)
            whole()
        else:
            two.send_many([b"a", b"b"])
            for daemon in daemons:
                daemon.join(10)
            for kernel in kernels:
                kernel.loop()
                kernel.close()
            loop.run_until_complete(exchange_task())
            loop.close()
            one.close(), two.close()
    """)


def test_a_child_of_multiprocessing_that_closes_all(run):
    run("""
        import multiprocessing

        def child(turn):
            own = Own(turn)
            kernel.close()
            use_all()
            own.check()
            own.last_words()
            for text in own.texts:
                text.flush()

        exchange()
        kernel = ratchet.new(exchange)
        kernel.loop_once(noblock=True)
        for turn in range(4):
            process = multiprocessing.get_context("fork").Process(target=child, args=(turn,))
            process.start()
            process.join(20)
            assert process.exitcode == 0, process.exitcode
            whole()
        kernel.loop()
        kernel.close()
    """)


def test_a_child_beside_children_of_multiprocessing_delivers_what_it_sent(run):
    """They are its parent's to wait for, and not what keeps it from ending well."""
    run("""
        import multiprocessing

        gate, other = multiprocessing.get_context("fork").Pipe()
        worker = multiprocessing.get_context("fork").Process(target=other.recv, daemon=False)
        worker.start()
        with zmqsocket.new("PULL") as pull:
            with socket.create_server(("127.0.0.1", 0)) as free:
                endpoint = f"tcp://127.0.0.1:{free.getsockname()[1]}"
            pid = os.fork()
            if pid == 0:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)   # where multiprocessing complains
                push = zmqsocket.new("PUSH")
                push.connect(endpoint)
                push.send(bytes(1_000_000))
                sys.exit(0)
            deadline = time.monotonic() + 0.5   # it would have ended by then
            while time.monotonic() < deadline and os.waitpid(pid, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
            pull.bind(endpoint)
            try:
                assert pull.recv_all(timeout=10) == bytes(1_000_000)
                wait(pid)
            finally:
                gate.send(b"end")
        worker.join()
    """)
