# Layer 0. The differences between operating systems and compilers, as far as they concern C.
#
# Those that concern Python are in `_platform.py`. A descriptor is a Py_ssize_t here, since on
# Windows it is a SOCKET, which has the size of a pointer.

cdef extern from *:
    """
    /* Compilers: what one thread has for itself, what is inlined and what never is, since it would
       cost the usual course registers, and counters and lists without a lock. */
    #ifdef _MSC_VER
    #include <intrin.h>
    #define RATCHET_LOCAL static __declspec(thread)
    #define RATCHET_INLINE static __forceinline
    #define RATCHET_APART static __declspec(noinline)
    #define RATCHET_ADD(at, n) (_InterlockedExchangeAdd((long volatile *) (at), n) + (n))
    #define RATCHET_TAKE(at) _InterlockedExchangePointer((void *volatile *) (at), NULL)
    #define RATCHET_CAS(at, old, new) \\
        (_InterlockedCompareExchangePointer((void *volatile *) (at), new, old) == (old))
    #else
    #define RATCHET_LOCAL static __thread
    #define RATCHET_INLINE static inline __attribute__((always_inline))
    #define RATCHET_APART static __attribute__((noinline))
    #define RATCHET_ADD(at, n) __atomic_add_fetch(at, n, __ATOMIC_SEQ_CST)
    #define RATCHET_TAKE(at) __atomic_exchange_n(at, NULL, __ATOMIC_SEQ_CST)
    #define RATCHET_CAS(at, old, new) __sync_bool_compare_and_swap(at, old, new)
    #endif

    #include <stdlib.h>
    #ifdef _WIN32
    #include <winsock2.h>
    #include <ws2tcpip.h>
    #include <zmq.h>
    typedef SOCKET ratchet_socket;
    typedef WSAPOLLFD ratchet_pollfd;
    static int ratchet_poll(ratchet_pollfd *items, Py_ssize_t count) {
        return WSAPoll(items, (ULONG) count, 0);
    }
    static int ratchet_wait(Py_ssize_t mine, Py_ssize_t tick, Py_ssize_t bell, int ms) {
        zmq_pollitem_t items[2] = {
            {0, (SOCKET) mine, ZMQ_POLLIN, 0}, {0, (SOCKET) bell, ZMQ_POLLIN, 0}};
        int rc = zmq_poll(items, bell == -1 ? 1 : 2, ms);
        (void) tick;
        return rc <= 0 ? rc : (items[0].revents ? 1 : 0) | (items[1].revents ? 4 : 0);
    }
    static int ratchet_spin(Py_ssize_t mine, Py_ssize_t tick, Py_ssize_t bell, double seconds) {
        (void) mine, (void) tick, (void) bell, (void) seconds;
        return 0;
    }
    static double ratchet_clock(void) { return 0; }
    static void ratchet_nap(void) { Sleep(1); }
    static void ratchet_signal(Py_ssize_t fd) { send((SOCKET) fd, "wakewake", 8, 0); }
    static void ratchet_drain(Py_ssize_t fd) {
        char scrap[512];
        while (recv((SOCKET) fd, scrap, sizeof(scrap), 0) == (int) sizeof(scrap)) {}
    }
    static void ratchet_close(Py_ssize_t fd) { closesocket((SOCKET) fd); }
    static Py_ssize_t ratchet_duplicate(Py_ssize_t fd) {
        WSAPROTOCOL_INFOW info;
        SOCKET copy = INVALID_SOCKET;
        if (WSADuplicateSocketW((SOCKET) fd, GetCurrentProcessId(), &info) == 0)
            copy = WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &info, 0,
                              WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
        if (copy == INVALID_SOCKET) errno = EMFILE;
        return copy == INVALID_SOCKET ? -1 : (Py_ssize_t) copy;
    }
    static void ratchet_at_fork(void (*child)(void)) { (void) child; }
    static int ratchet_try_threads(int count) { (void) count; return 0; }
    #else
    #include <errno.h>
    #include <arpa/inet.h>
    #include <fcntl.h>
    #include <netinet/in.h>
    #include <poll.h>
    #include <pthread.h>
    #include <sched.h>
    #include <signal.h>
    #include <stdint.h>
    #include <sys/socket.h>
    #include <time.h>
    #include <unistd.h>
    typedef int ratchet_socket;
    typedef struct pollfd ratchet_pollfd;
    static int ratchet_poll(ratchet_pollfd *items, Py_ssize_t count) {
        return poll(items, (nfds_t) count, 0);
    }
    /* Not zmq_poll: it calls poll(2) twice, once to look and once to sleep. */
    static int ratchet_wait(Py_ssize_t mine, Py_ssize_t tick, Py_ssize_t bell, int ms) {
        struct pollfd items[3] = {  /* poll skips negative descriptors */
            {(int) mine, POLLIN, 0}, {(int) tick, POLLIN, 0}, {(int) bell, POLLIN, 0}};
        int rc = poll(items, 3, ms);
        return rc <= 0 ? rc : (items[0].revents ? 1 : 0) | (items[1].revents ? 2 : 0)
                              | (items[2].revents ? 4 : 0);
    }
    /* The clock of Python's time.monotonic(), with its rounding. */
    #ifdef __APPLE__
    static double ratchet_clock(void) {
        return (double) clock_gettime_nsec_np(CLOCK_UPTIME_RAW) / 1e9;
    }
    #else
    static double ratchet_clock(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double) ((int64_t) now.tv_sec * 1000000000 + now.tv_nsec) / 1e9;
    }
    #endif
    /* Look instead of sleeping, and let other threads have the core in between. */
    static int ratchet_spin(Py_ssize_t mine, Py_ssize_t tick, Py_ssize_t bell, double seconds) {
        double until = ratchet_clock() + seconds;
        int rc;
        while ((rc = ratchet_wait(mine, tick, bell, 0)) == 0 && ratchet_clock() < until)
            sched_yield();
        return rc;
    }
    static void ratchet_nap(void) { usleep(20); }
    static void ratchet_signal(Py_ssize_t fd) {
        uint64_t one = 1;  /* what an eventfd takes; a socket takes anything */
        if (write((int) fd, &one, sizeof(one)) < 0) {}  /* full: it is readable already */
    }
    static void ratchet_drain(Py_ssize_t fd) {
        char scrap[512];
        while (read((int) fd, scrap, sizeof(scrap)) == (ssize_t) sizeof(scrap)) {}
    }
    static void ratchet_close(Py_ssize_t fd) { close((int) fd); }
    static Py_ssize_t ratchet_duplicate(Py_ssize_t fd) {
        return fcntl((int) fd, F_DUPFD_CLOEXEC, 3);
    }
    static void ratchet_at_fork(void (*child)(void)) { pthread_atfork(0, 0, child); }
    static void *ratchet_idle(void *gate) {
        pthread_mutex_lock(gate);
        pthread_mutex_unlock(gate);
        return NULL;
    }
    /* Return 0 if that many threads can exist at once, else the errno that says why not. */
    static int ratchet_try_threads(int count) {
        pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
        pthread_t *threads = malloc(count * sizeof(pthread_t));
        sigset_t all, before;
        int started = 0, error = threads ? 0 : ENOMEM;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);  /* signals are for Python's threads */
        pthread_mutex_lock(&gate);
        while (!error && started < count)
            if (!(error = pthread_create(&threads[started], NULL, ratchet_idle, &gate))) started++;
        pthread_mutex_unlock(&gate);
        while (started > 0) pthread_join(threads[--started], NULL);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        free(threads);
        return error;
    }
    #endif
    #include <errno.h>
    static void ratchet_set_errno(int number) { errno = number; }
    /* For reading 1, for writing 2. */
    static void ratchet_set_item(ratchet_pollfd *item, Py_ssize_t fd, int mask) {
        item->fd = fd;
        item->events = (mask & 1 ? POLLIN : 0) | (mask & 2 ? POLLOUT : 0);
        item->revents = 0;
    }
    /* What it is ready for, 4 if it has failed; -1: there is no such descriptor. */
    static int ratchet_item_ready(const ratchet_pollfd *item) {
        if (item->revents & POLLNVAL) return -1;
        return (item->revents & POLLIN ? 1 : 0) | (item->revents & POLLOUT ? 2 : 0)
               | (item->revents & (POLLERR | POLLHUP) ? 4 : 0);
    }
    static int ratchet_readable(Py_ssize_t fd) { return ratchet_wait(fd, -1, -1, 0) > 0; }
    /* The IP address at the other end of a connection, as text; 0: it has none. */
    static int ratchet_address(Py_ssize_t fd, char *text, int room) {
        struct sockaddr_storage name;
        socklen_t size = sizeof(name);
        const void *address = &((struct sockaddr_in *) &name)->sin_addr;
        if (getpeername((ratchet_socket) fd, (struct sockaddr *) &name, &size) != 0) return 0;
        if (name.ss_family == AF_INET6) address = &((struct sockaddr_in6 *) &name)->sin6_addr;
        else if (name.ss_family != AF_INET) return 0;
        return inet_ntop(name.ss_family, address, text, room) != NULL;
    }

    #if defined(__linux__) && !defined(RATCHET_NO_TIMERFD)
    #include <sys/timerfd.h>
    /* A descriptor that is readable every so many milliseconds; -1: not here. */
    static Py_ssize_t ratchet_ticker(int ms) {
        struct itimerspec when = {{0, ms * 1000000L}, {0, ms * 1000000L}};
        int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (fd >= 0) timerfd_settime(fd, 0, &when, 0);
        return fd;
    }
    #else
    static Py_ssize_t ratchet_ticker(int ms) { (void) ms; return -1; }
    #endif

    /* A ledger tells whether libzmq has closed a descriptor, even if its number has been given to
       another file since: it is an epoll, which forgets a file that is closed, and tells files
       with one number apart. Nobody ever waits for it. Where there is no epoll, all of this
       returns -1, and no descriptor is ever known to be closed. */
    #ifdef __linux__
    #include <fcntl.h>
    #include <sys/epoll.h>
    #include <sys/eventfd.h>
    /* Return 0 if so many descriptors can be opened, at most 8, else the errno that says why not;
       -1: it is not known here. Nothing is faster to open than an eventfd. */
    static int ratchet_room(int count) {
        int fds[8], made = 0, error = 0;
        while (made < count && (fds[made] = eventfd(0, EFD_CLOEXEC)) >= 0) made++;
        if (made < count) error = errno;
        while (made > 0) close(fds[--made]);
        return error;
    }
    static int ratchet_ledger(void) { return epoll_create1(EPOLL_CLOEXEC); }
    static Py_ssize_t ratchet_enter(int ledger, Py_ssize_t fd) {
        struct epoll_event nothing = {0};
        return epoll_ctl(ledger, EPOLL_CTL_ADD, (int) fd, &nothing) == 0 ? fd : -1;
    }
    static int ratchet_is_closed(int ledger, Py_ssize_t fd) {
        struct epoll_event nothing = {0};
        if (fd < 0 || epoll_ctl(ledger, EPOLL_CTL_MOD, (int) fd, &nothing) == 0) return 0;
        return errno == ENOENT || (errno == EBADF && fcntl(ledger, F_GETFD) >= 0);
    }
    #else
    static int ratchet_room(int count) { (void) count; return -1; }
    static int ratchet_ledger(void) { return -1; }
    static Py_ssize_t ratchet_enter(int ledger, Py_ssize_t fd) {
        (void) ledger, (void) fd;
        return -1;
    }
    static int ratchet_is_closed(int ledger, Py_ssize_t fd) { (void) ledger, (void) fd; return 0; }
    #endif
    """
    # Wait for any of three descriptors, -1 for none: bits 1, 2 and 4; 0: not in time.
    int ratchet_wait(Py_ssize_t mine, Py_ssize_t tick, Py_ssize_t bell, int ms) noexcept nogil
    int ratchet_spin(
        Py_ssize_t mine, Py_ssize_t tick, Py_ssize_t bell, double seconds) noexcept nogil
    bint ratchet_readable(Py_ssize_t fd) noexcept nogil
    bint ratchet_address(Py_ssize_t fd, char *text, int room) noexcept
    # Many descriptors at once, without a sleep.
    ctypedef struct ratchet_pollfd:
        pass
    int ratchet_poll(ratchet_pollfd *items, Py_ssize_t count) noexcept nogil
    void ratchet_set_item(ratchet_pollfd *item, Py_ssize_t fd, int mask) noexcept
    int ratchet_item_ready(const ratchet_pollfd *item) noexcept
    double ratchet_clock() noexcept nogil  # seconds; 0 on Windows, where Python is asked
    Py_ssize_t ratchet_ticker(int ms) noexcept
    void ratchet_close(Py_ssize_t fd) noexcept
    Py_ssize_t ratchet_duplicate(Py_ssize_t fd) noexcept  # -1: errno tells
    void ratchet_nap() noexcept nogil
    void ratchet_signal(Py_ssize_t fd) noexcept nogil
    void ratchet_drain(Py_ssize_t fd) noexcept nogil
    void ratchet_at_fork(void (*child)() noexcept nogil) noexcept
    int ratchet_try_threads(int count) noexcept
    void set_errno "ratchet_set_errno"(int number) noexcept
    int ratchet_room(int count) noexcept
    int ratchet_ledger() noexcept
    Py_ssize_t ratchet_enter(int ledger, Py_ssize_t fd) noexcept
    bint ratchet_is_closed(int ledger, Py_ssize_t fd) noexcept
