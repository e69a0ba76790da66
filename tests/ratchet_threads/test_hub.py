"""What a kernel leaves behind of an OS thread that has ended."""


def test_a_kernel_that_outlives_its_os_thread_does_not_hold_its_main_greenlet(run):
    """greenlet looks for referrers of one that is held, and crashes if they go while it looks."""
    result = run("""
        import gc
        import threading
        import time
        import ratchet

        held, asked = [], []
        referrers = gc.get_referrers
        gc.get_referrers = lambda *things: [asked.append(1), referrers(*things)][1]
        task = threading.Thread(
            target=ratchet.run, args=(lambda: held.append(ratchet.thread.self()),)
        )
        task.start()
        task.join()
        for _ in range(50):  # greenlet looks when the main thread runs its pending calls
            time.sleep(0.001)
        print(len(held), len(asked))
    """)
    assert result.out.strip() == "1 0"
