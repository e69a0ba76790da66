"""Programs that gevent has patched, before and after ratchet was imported: each in a process."""

import signal

import pytest
from harness.programs import HEAD

# gevent warns of what it finds imported already, such as `ssl`.
PATCH = """
import warnings
from gevent import monkey
with warnings.catch_warnings(action="ignore"):
    monkey.patch_all()
"""
PIPE = """
pull, push = zmqsocket.new("PULL"), zmqsocket.new("PUSH")
push.connect(pull.bind("tcp://127.0.0.1:*"))
import gevent
"""


@pytest.fixture(params=["patched first", "patched last"])
def patched(request, script):
    """Runs a program that is patched before or after ratchet is imported; returns what it says."""

    def run(text, *, interrupted=False, status=0):
        first = request.param == "patched first"
        prelude = PATCH + HEAD if first else HEAD + PATCH
        program = script(text, prelude=prelude + PIPE)
        if interrupted:
            program.said("ready")
            program.process.send_signal(signal.SIGINT)
        result = program.end()
        assert (result.err, result.status) == ("", status), result
        return result.out

    return run


def test_two_threads_of_a_patched_program(patched):
    said = patched("""
        import threading
        got = []
        def receive():
            got.extend(pull.recv_all(timeout=5) for _ in range(1000))
        def send():
            for n in range(1000):
                push.send(b"%d" % n)
        threads = [threading.Thread(target=run) for run in (receive, send)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        print(got == [b"%d" % n for n in range(1000)])
        pull.close()
        push.close()
    """)
    assert said == "True\n"


def test_select_and_selectors_of_a_patched_program(patched):
    said = patched("""
        turns = []
        def turn():
            while True:
                gevent.sleep(0.001)
                turns.append(1)
        gevent.spawn(turn)
        while len(turns) <= 3:  # on a machine that is busy, not at once
            turns.clear()
            found = zmqsocket.select([pull], timeout=0.1)
        print(found)
        with zmqsocket.Selector() as selector:
            selector.register(pull, 1)
            gevent.spawn_later(0.01, push.send, b"x")
            print(len(selector.select(5)))
        print(thread.block_on([pull], timeout=5) is pull, pull.recv_all())
        pull.close()
        push.close()
    """)
    assert said == "([], [])\n1\nTrue b'x'\n"


def test_a_ratchet_kernel_beside_greenlets(patched):
    """Its threads pause as ratchet threads, and when all do, gevent's hub runs the greenlets."""
    said = patched("""
        from ratchet import _zmq
        turns = []
        def turn():
            while True:
                gevent.sleep(0.001)
                turns.append(1)
        def blocks():
            turns.clear()
            while len(turns) <= 3:
                monkey.get_original("time", "sleep")(0.01)
            return _zmq.thread_ident()
        def main():
            while len(turns) <= 3:  # on a machine that is busy, not at once
                turns.clear()
                thread.timer(0.1)
            task = thread.attach(pull.recv_all)
            thread.timer(0)
            push.send(b"x")
            worker = thread.offload(blocks)
            return task.result(5), worker != _zmq.thread_ident()
        def busy():
            before, rounds = len(turns), 0
            while len(turns) < before + 5 and rounds < 1_000_000:
                thread.timer(0)
                rounds += 1
            return rounds < 1_000_000
        gevent.spawn(turn)
        print(ratchet.run(main), ratchet.run(busy))
        two = [gevent.spawn(ratchet.run, thread.timer, seconds) for seconds in (0.1, 0.05)]
        gevent.joinall(two, raise_error=True)
        pull.close()
        push.close()
    """)
    assert said == "(b'x', True) True\n"


def test_a_fork_of_a_patched_program(patched):
    """Greenlets of the parent that waited go on in the child, and are told."""
    said = patched("""
        def inherits(call, *arguments):
            try:
                return call(*arguments)
            except ratchet.ForkedError:
                return "forked"
        pub = zmqsocket.new("PUB", track_peers=True)
        monitor = pub.monitor()
        task = gevent.spawn(inherits, pull.recv_all)
        others = [
            gevent.spawn(inherits, call, *arguments)
            for call, *arguments in [
                (monitor.recv,), (pub.wait_peers, 1), (pub.wait_subscribers, b"x"),
                (zmqsocket.select, [pull, monitor]),
            ]
        ]
        kernel = gevent.spawn(ratchet.run, thread.timer, 0.2)
        gevent.sleep(0.01)
        pid = os.fork()
        if pid == 0:
            for one in [task, *others]:
                assert one.get(timeout=5) == "forked"
            kernel.get(timeout=5)
            with zmqsocket.new("PAIR") as one, zmqsocket.new("PAIR") as two:
                one.bind("inproc://child")
                two.connect("inproc://child")
                mine = gevent.spawn(one.recv_all, timeout=5)
                gevent.sleep(0.01)
                two.send(b"child")
                assert mine.get(timeout=5) == b"child"
            os._exit(0)
        print(os.waitpid(pid, 0)[1])
        push.send(b"parent")
        print(task.get(timeout=5))
        kernel.get(timeout=5)
        gevent.killall(others)
        pub.close()
        pull.close()
        push.close()
    """)
    assert said == "0\nb'parent'\n"


def test_the_exit_of_a_patched_program_delivers(patched, script):
    sink = script("""
        with zmqsocket.new("PULL") as pull:
            print(pull.bind("tcp://127.0.0.1:*"), flush=True)
            print(sum(1 for _ in range(1000) if pull.recv_all(timeout=10)))
    """)
    endpoint = sink.process.stdout.readline().strip()
    patched(f"""
        pull.close()
        push.disconnect(push.last_endpoint)
        push.connect({endpoint!r})
        def send():
            for n in range(1000):
                push.send(b"%d" % n)
        gevent.spawn(send).join()
        def waits():
            zmqsocket.new("PULL").recv()
        gevent.spawn(waits)
        gevent.sleep(0.01)
        import warnings
        warnings.simplefilter("ignore")
    """)
    assert sink.end().out == "1000\n"


def test_ctrl_c_leaves_a_call_of_a_patched_program(patched):
    said = patched(
        """
        try:
            print("ready", flush=True)  # in the try: the signal may come before this returns
            pull.recv(timeout=10)
        except KeyboardInterrupt:
            print("left")
        push.send(b"x")
        print(pull.recv_all(timeout=5))
        pull.close()
        push.close()
    """,
        interrupted=True,
    )
    assert said == "left\nb'x'\n"


def test_an_os_thread_of_a_patched_program(patched):
    """Of gevent's pool: it has no hub, and sleeps as OS threads do."""
    said = patched("""
        pool = gevent.get_hub().threadpool
        task = pool.spawn(pull.recv_all)
        gevent.sleep(0.01)
        push.send(b"x")
        print(task.get(timeout=5), pool.apply(gevent.hub._get_hub))
        pull.close()
        push.close()
    """)
    assert said == "b'x' None\n"


def test_who_may_connect_is_judged_in_real_threads(patched):
    """A handler that is a greenlet would hold up the others, and its callable all of them."""
    said = patched("""
        from ratchet import auth
        sleep = monkey.get_original("time", "sleep")
        ident = monkey.get_original("_thread", "get_ident")
        server, alice, eve = auth.generate(), auth.generate(), auth.generate()
        asked = []
        def known(key, address):
            asked.append(ident())
            sleep(0.3)
            return "alice" if key == alice.public else None
        with (
            zmqsocket.new("PULL", curve=server, clients=known) as inner,
            zmqsocket.new("PUSH", curve=eve, server=server, linger=0) as stranger,
            zmqsocket.new("PUSH", curve=alice, server=server, linger=0) as client,
        ):
            at = inner.bind("tcp://127.0.0.1:*")
            stranger.connect(at)
            client.connect(at)
            came = gevent.spawn(lambda: inner.recv_frame(timeout=10).user_id)
            stranger.send(b"x", timeout=0)
            client.send(b"x")
            ticks = 0
            while not came.ready():
                gevent.sleep(0.01)
                ticks += 1
            print(came.get(), ticks > 5, ident() in asked)
        pull.close()
        push.close()
    """)
    assert said == "alice True False\n"


def test_a_proxy_has_a_real_thread(patched):
    """It passes on messages while no greenlet lets the hub run."""
    said = patched("""
        import time
        front, back = zmqsocket.new("PULL"), zmqsocket.new("PUSH")
        source, sink = zmqsocket.new("PUSH"), zmqsocket.new("PULL")
        source.connect(front.bind("tcp://127.0.0.1:*"))
        sink.connect(back.bind("tcp://127.0.0.1:*"))
        with ratchet.Proxy(front, back) as proxy:
            source.send(b"x")
            end = time.monotonic() + 10
            while not proxy.stats.frontend_messages and time.monotonic() < end:
                pass  # nothing that would let another greenlet run
            print(proxy.stats.frontend_messages, sink.recv_all(timeout=5))
            print(proxy.stop().dropped)
        for zsock in (front, back, source, sink, pull, push):
            zsock.close()
    """)
    assert said == "1 b'x'\n0\n"
