# Layer 0. Every number that was found by measuring: its unit, its reason, how to measure it again.
#
# All were measured on two cores with Python 3.11 and libzmq 4.3.4; `make bench` and
# `make instructions` show what a change does.

cdef enum:
    # Bytes from which a copy runs without the GIL. A copy of this size takes about 10 us, which is
    # what releasing the GIL and taking it back may cost while another thread wants it.
    LARGE = 131072
    # Bytes from which `bytes` are lent to libzmq instead of copied. This is what the encoder of
    # libzmq 4.3 collects before it writes (out_batch_size); a longer message is written from where
    # it is. A loan of 4 KiB is already cheaper than its copy: 0.14 us against 0.20
    # (docs/decisions/017-loans.md).
    LEND = 8192

cdef extern from *:
    """
    /* Messages received last that are remembered with their pairs, to be used again: twice as many
       as a message of three parts has, and more (docs/decisions/051-what-a-message-costs.md). */
    #define RATCHET_PAIRS 8
    /* Bytes of the largest of them, so that no large data is kept alive. */
    #define RATCHET_LARGEST_RECYCLED 4095
    /* Messages of recv_many that are remembered, to be used again, and bytes of all of them
       together: as many as a socket holds whose reader had to wait for a core, and about a core's
       second cache. Bytes of the smallest of them: from here on Python gets them from malloc, which
       takes 300 instructions, and 150 to give back (glibc 2.36;
       docs/decisions/053-many-at-once.md). */
    #define RATCHET_SPARES 1024
    #define RATCHET_SPARED 1048576
    #define RATCHET_LEAST_SPARE 480
    """

# Messages for which recv_many makes room at most before it takes any: as many as it took the last
# time. A list that grows costs 33 instructions a message.
cdef Py_ssize_t MOST_ROOM = 4096
# Messages that a batch moves before it lets other OS threads have the GIL.
cdef int BATCH = 256
# Seconds after which recv_many returns what it has, so that Ctrl-C is heard within 0.1 s.
cdef double LONGEST_BATCH = 0.05
# Messages of a batch that an asyncio task moves before it lets its loop run; a fraction of a
# millisecond if they are small.
cdef Py_ssize_t TASK_BATCH = 2000
# In such a batch, a large message counts as this part of TASK_BATCH.
cdef int LARGE_SHARE = 64

# Bytes of a large message that count as one call of a burst. Without it a heartbeat of 10 ms came
# 130 ms late beside two asyncio tasks with messages of 1 MB, with it 7 ms; and a message of 5 MB
# took them 2.0 ms of time without it, 1.0 with it, since fewer of them were on their way.
cdef int COPIED_SHARE = 65_536

# A reply that a task has spun for counts as so many calls, for the same reason.
cdef int SPIN_SHARE = 32

# Ready calls in a row after which a ratchet thread lets the others run
# (docs/decisions/013-bursts.md).
cdef int BURST = 128

# Seconds after which a hub of gevent's that was asked and has not answered counts as stopped. One
# that runs answers within microseconds, and within milliseconds on a busy machine.
cdef double HUB_ANSWERS = 0.25
# Seconds between two such questions: each one wakes a sleeping hub.
cdef double ASK_HUB_EVERY = 0.05

# Seconds after which a waiter tries again where libzmq does not say when to: it calls some sockets
# writable although a send says "not now" (a ROUTER with router_mandatory whose peer is full, an
# XPUB with xpub_nodrop), so reading ZMQ_EVENTS proves nothing (docs/decisions/010-reknock.md).
cdef double REKNOCK = 0.05

# Milliseconds between two looks of a sleeping main thread for signals. It runs the signal
# handlers, but a signal may land on another thread, or just before the sleep; Ctrl-C is then heard
# within 0.1 s. A timer that always ticks is cheaper than a timeout for each poll
# (docs/decisions/005-poll-not-zmq-poll.md).
cdef int SIGNAL_SLICE_MS = 80

# Seconds for which a receive that follows a send may spin before it sleeps: a reply is often near,
# and sleeping until it comes costs more than the reply, since two threads are put to sleep and
# woken on cores that have gone to sleep as well (docs/decisions/016-spin.md). Set by `configure`.
cdef double spin = 0.0001
# Spinning must be faster than sleeping by a tenth to be chosen; one time in so many the other way
# is taken, so that both means stay current.
cdef double WORTH_SPINNING = 0.9
cdef int TRY_THE_OTHER = 32
# The weight of a new reply time in the running mean: one part in so many.
cdef int MEAN_OF = 8

# Seconds without the GIL from which getting it back counts as slow: then another thread never gives
# it up, and Python takes it from that thread 5 ms later (docs/decisions/019-hand-over.md).
cdef double SLOW_GIL = 0.0005
# After so many spins that found something, the GIL is released once to see if it is still slow.
cdef int CHECK_GIL_EVERY = 512
# A spin that finds nothing doubles the number of pauses without one, up to 2 to this power.
cdef int LONGEST_BACKOFF = 5

# Seconds after a wake-up within which a receiver that has taken all goes back to sleep without a
# look, which is a system call of 0.17 us. What comes meanwhile ends that sleep at once.
cdef double JUST_WOKEN = 0.000005

# Seconds between two naps of a long loop that holds the GIL: Python's own switch interval.
cdef double SWITCH_INTERVAL = 0.005

# Turns of a kernel's loop between two questions to the operating system while threads are ready: a
# system call costs as much as several messages.
cdef int POLL_EVERY = 8
# Seconds between two such questions where asking releases the GIL and takes it back at once (all
# but epoll): a thread that waits for the GIL must wait 5 ms undisturbed until Python hands it over.
cdef double LOOK_EVERY = 0.01
# Seconds of the longest sleep of a kernel: epoll_wait(2) counts milliseconds in an int.
cdef double LONGEST_SLEEP = 1_000_000

# Descriptors that libzmq opens when a context starts, and two more for each I/O thread. Without
# them it aborts (ctx.cpp, 4.3.4).
cdef int HEAD_ROOM = 12
# Descriptors that resolving a name may need; without them libzmq aborts (ip_resolver.cpp, 4.3.4).
cdef int RESOLVER_ROOM = 3
# Seconds of `linger` unless a program says otherwise.
cdef double DEFAULT_LINGER = 10.0
# Bytes that libzmq reads from and writes to a connection at once, where that can be said; 8 KiB
# otherwise (docs/decisions/044-drafts-and-the-wheels-libzmq.md).
cdef int DEFAULT_IN_BATCH = 65536
cdef int DEFAULT_OUT_BATCH = 65536
# Bytes of the least such size. With 1 libzmq 4.3 aborts (msg.cpp): it takes memory beside
# its buffer for a message. From 2 on all went well; below this nothing is gained any more.
cdef int LEAST_BATCH = 256
# Bytes of a `last_endpoint` that is read at the first try.
cdef int USUAL_ENDPOINT = 1024
# A REP with a high-water mark below this may drop replies, since it has not read that there is
# room: at most half the mark that its peer has not told yet, and 100 messages between two times
# that libzmq reads what peers tell.
cdef int LOW_SNDHWM = 256

# Subscriptions, and ends of such, that a SUB keeps for each publisher until that has read them, if
# no `sndhwm` is set: with libzmq's 1000 it drops the others in silence, also when it tells a
# publisher that has come back of all that it has. Each takes 64 bytes, or more if its prefix is
# longer than 29, and for a publisher that never comes they pile up. libzmq learns only after each
# half of the mark that some were read.
cdef int SUB_SNDHWM = 1_000_000

# Bytes of the longest prefix to subscribe to. libzmq 4.3's trie recurses for each byte of it, in
# the caller's thread: 80 bytes of stack each to remove one (trie.cpp), 83 to tell a new peer of
# many; its reaper's thread needs 48 to close the socket. On 32 KiB, the smallest stack that
# threading.stack_size() takes, 328 is the longest that libzmq survives alone (4.3.4, x86-64). The
# frames of Python and greenlet need some, too: 255 was too much in a ratchet thread, Python 3.11.2.
cdef Py_ssize_t MAX_PREFIX = 200

# Groups of I/O threads for connections by name, each as large as `io_threads`: so many hosts have a
# group to themselves, and what cannot be looked up stalls no other. An idle thread costs two
# descriptors and 8 KiB.
cdef int NAME_GROUPS = 4
# Hosts that are remembered with their group (a name and an int each); then the memory starts anew.
cdef int KNOWN_HOSTS = 1024

# Milliseconds that a bind or connect waits at most until libzmq's I/O thread has rung for what it
# has put into the socket's mailbox: one that was stopped in between, which is rare. Otherwise the
# ring is there already.
cdef int LAUNCHED_WITHIN_MS = 1000

# Milliseconds that an unbind or disconnect waits at most until libzmq's I/O thread asks whether a
# connection may end, which takes 0.06 ms on an idle machine, and does not come while messages are
# still to be sent. Several may ask, and one that was ended before may ring as well, so the wait
# ends when none has rung for so many seconds.
cdef int ENDED_WITHIN_MS = 5
cdef double ENDED_QUIET = 0.0002
# Seconds for all of that: where messages come all the time, each peer's may ring. An event loop is
# held up no longer than this.
cdef double ENDED_AFTER = 0.01

# Seconds that a bind sleeps for an endpoint that this process has given up, in all, and seconds for
# which it is known that it has. On two cores that eight compilers shared, the median for tcp was
# 0.12 ms, and the longest of 1,000 took 2.6 ms. Sleeps are counted, not time: a machine that stands
# still, stops libzmq's threads as well. An event loop is held up no longer than this.
cdef double FREE_WITHIN = 0.5
cdef double GIVEN_UP_FOR = 5
# Such endpoints that are remembered: a broker that starts anew has hundreds.
cdef Py_ssize_t GIVEN_UP = 1024
# Seconds of the first wait before such a bind is tried again, and of the longest; each wait is
# twice the one before.
cdef double FIRST_NAP = 50e-6
cdef double LONGEST_NAP = 0.01

# Ports of a range that a bind tries with the GIL held. One takes about 20 µs.
cdef int PORTS_IN_ONE_GO = 100

# Sockets that linger from which on it is looked which of them are done.
cdef int LINGERING = 64
# Sockets that the line on stderr at the exit names.
cdef int NAMED = 8
# Seconds for which the exit stays silent; delivering over a live connection takes far less.
cdef double SILENT = 1.0
# Seconds for which the exit waits for loops in daemon threads to forget the sockets' descriptors.
# If one rang after Python has ended, a callback would run: uvloop aborts.
cdef double LET_GO = 0.2
# Seconds for which the exit waits for libzmq itself when no message is left to wait for. It needs
# milliseconds, but looking up a name in one of its threads may take any time.
cdef double LIBZMQ_ENDS = 0.5
# Milliseconds between two looks of the exit for Ctrl-C.
cdef int EXIT_SLICE_MS = 50
# Events that a monitor keeps while nobody reads it: 10 MB. A server to which 1,000 connections come
# a second, and go again, tells so many in half a minute.
cdef Py_ssize_t KEPT_EVENTS = 100_000
# Sends of a publisher that knows its subscribers between two looks at what these have sent. A look
# that finds nothing costs half a send.
cdef int TAKE_IN_EVERY = 32
# How many of what subscribers have sent are taken before they are counted: they wait as Python
# objects, and no other thread runs. Some 1 ms.
cdef int TAKEN_AT_ONCE = 1000
# Descriptors that the first monitor may need: two mailboxes of libzmq's, an epoll, an eventfd.
cdef int FEED_ROOM = 4
# Seconds between two looks of a select where no descriptor stands for many (Windows).
cdef double NO_POLL_SLICE = 0.02

cdef enum:
    # Things that a select keeps on the stack.
    FEW_ITEMS = 64
    # Messages that a proxy passes on in one direction before it turns to the other: enough that the
    # looks between bursts cost nothing, and about 0.1 ms.
    PROXY_BURST = 256
    # Frames that a proxy has room for at first.
    FEW_FRAMES = 8

# Seconds after which a busy proxy lets other OS threads have the GIL if they wanted it the last
# time, and a quarter of the time after which it finds out. They keep it for 5 ms, Python's switch
# interval, so they have two thirds of it.
cdef double PROXY_SLICE = 0.0025
