"""Forks in ratchet threads, and the end of a program in which they live."""

import pytest

# Fork, and the end of the program


def test_fork_in_a_ratchet_thread(run):
    """Parent and child both go on; the child's inherited sockets raise, new ones work."""
    said = run("""
        def echo(endpoint):
            with zmqsocket.new("PAIR") as one, zmqsocket.new("PAIR") as two:
                one.bind(endpoint)
                two.connect(endpoint)
                task = thread.attach(one.recv_all, timeout=5)
                thread.timer(0)
                two.send(b"x")
                assert task.result(5) == b"x"

        def inherits(zsock):
            try:
                return zsock.recv(timeout=5)[0]
            except ratchet.ForkedError:
                return "forked"

        def main():
            pull, push = zmqsocket.new("PULL"), zmqsocket.new("PUSH")
            pull.bind("inproc://pipe")
            push.connect("inproc://pipe")
            task = thread.attach(inherits, pull)
            thread.timer(0)
            pid = os.fork()
            if pid == 0:
                assert task.result(5) == "forked"
                echo("inproc://child")
                thread.timer(0.01)
                fd = signal.set_wakeup_fd(-1)
                assert fd == signal_fd(kernel), "signals write into a descriptor of others"
                os._exit(0)
            echo("inproc://parent")
            push.send(b"mine")
            assert task.result(5) == b"mine"
            status = thread.offload(os.waitpid, pid, 0)[1]
            print(os.waitstatus_to_exitcode(status))
            for zsock in (pull, push):
                zsock.close()

        spare = os.open(os.devnull, os.O_RDONLY)
        kernel = ratchet.new(main)
        os.close(spare)  # a lower number than the kernel's is free when the child opens its own
        kernel.loop()
        kernel.close()
    """)
    assert said.out.split() == ["0"]


def test_fork_beside_kernels_in_other_os_threads(run):
    said = run("""
        begun = [threading.Event() for _ in range(8)]
        over = threading.Event()
        def other(event):
            def main():
                event.set()
                while not over.is_set():
                    thread.timer(0.001)
            ratchet.run(main)

        def main():
            pid = os.fork()
            if pid == 0:
                try:
                    thread.timer(0)
                    assert thread.self() is not None
                    os._exit(0)
                finally:
                    os._exit(1)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

        others = [threading.Thread(target=other, args=(event,)) for event in begun]
        for task in others:
            task.start()
        for event in begun:
            event.wait(10)
        ratchet.run(main)
        over.set()
        for task in others:
            task.join()
    """)
    assert said.out.split() == ["0"]


@pytest.mark.parametrize("how", ["sys.exit(3)", "raise SystemExit(3)", "kernel.stop()"])
def test_exit_with_threads_alive(run, how):
    said = run(
        f"""
        def victim():
            try:
                thread.pause()
            finally:
                thread.timer(0)
                print("finally")

        def main():
            thread.attach(victim)
            thread.timer(0)
            {how}

        kernel = ratchet.new(main)
        kernel.loop()
        """,
        status=0 if "stop" in how else 3,
    )
    assert said.out.split() == ["finally"]


def test_exit_while_a_daemon_runs_a_kernel(run):
    said = run("""
        def main():
            print("begun", flush=True)
            begun.set()
            thread.timer(60)

        begun = threading.Event()
        threading.Thread(target=ratchet.run, args=(main,), daemon=True).start()
        begun.wait(10)
    """)
    assert said.out.split() == ["begun"]


def test_exit_while_a_daemon_runs_a_busy_kernel(run):
    """It ends without a word."""
    for _ in range(4):
        run("""
            def send(zsock):
                while True:
                    zsock.send(b"x")

            def main():
                left, right = zmqsocket.new("PAIR", linger=0), zmqsocket.new("PAIR", linger=0)
                left.bind("inproc://pair")
                right.connect("inproc://pair")
                thread.attach(send, left)
                while True:
                    right.recv()
                    begun.set()

            begun = threading.Event()
            threading.Thread(target=ratchet.run, args=(main,), daemon=True).start()
            begun.wait(10)
            """)
