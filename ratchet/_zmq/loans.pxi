# Layer 4. Python's memory that libzmq sends from without a copy, and how it is given back.
#
# libzmq finishes with a loan on one of its own threads, without the GIL. There the loan is pushed
# to a list that needs no lock; the next large send, pause or close of any socket, or question to a
# `Tracker`, takes the whole list and drops the references.

cdef extern from *:
    """
    /* Shared by a Tracker and its loans, and freed by the last of them to go. If it has a bell,
       that rings when nothing is lent. The bell's descriptors are set before `bell` is. */
    typedef struct {
        int lent, users, bell;
        unsigned int born;  /* of another process, the bell's descriptors are not ours to touch */
        Py_ssize_t read_fd, write_fd;
    } ratchet_account;
    typedef struct ratchet_loan {
        struct ratchet_loan *next;
        PyObject *owner;
        ratchet_account *account;
    } ratchet_loan;
    static ratchet_loan *volatile ratchet_returned = NULL;

    static ratchet_account *ratchet_open_account(void) {
        ratchet_account *account = malloc(sizeof(ratchet_account));
        if (account != NULL) {
            account->lent = account->bell = 0, account->users = 1;
            account->born = ratchet_generation;
        }
        return account;
    }
    static void ratchet_close_bell(Py_ssize_t read_fd, Py_ssize_t write_fd) {
        ratchet_close(read_fd);
        if (write_fd != read_fd) ratchet_close(write_fd);
    }
    static void ratchet_leave_account(ratchet_account *account) {
        if (account == NULL || RATCHET_ADD(&account->users, -1) > 0) return;
        if (account->bell && account->born == ratchet_generation)
            ratchet_close_bell(account->read_fd, account->write_fd);
        free(account);
    }
    static void ratchet_end_loan(ratchet_account *account) {
        if (RATCHET_ADD(&account->lent, -1) == 0 && RATCHET_ADD(&account->bell, 0)
                && account->born == ratchet_generation)
            ratchet_signal(account->write_fd);
    }
    static void ratchet_give_back(void *data, void *hint) {
        ratchet_loan *loan = hint;
        ratchet_account *account = loan->account;
        (void) data;
        do loan->next = ratchet_returned;
        while (!RATCHET_CAS(&ratchet_returned, loan->next, loan));
        /* Only now: when nothing is lent any more, everything is in the list. */
        if (account != NULL) {
            ratchet_end_loan(account);
            ratchet_leave_account(account);
        }
    }
    static void ratchet_collect(void) {
        ratchet_loan *loan, *next;
        if (ratchet_returned == NULL) return;
        loan = RATCHET_TAKE(&ratchet_returned);
        for (; loan != NULL; loan = next) {
            next = loan->next;
            ratchet_drop(loan->owner);
            free(loan);
        }
    }
    /* Make a message of memory that ``owner`` keeps unchanged; -1: no memory. */
    static int ratchet_lend(
            zmq_msg_t *msg, void *data, size_t size, PyObject *owner, ratchet_account *account) {
        ratchet_loan *loan = malloc(sizeof(ratchet_loan));
        if (loan == NULL) return -1;
        loan->owner = ratchet_hold(owner);
        loan->account = account;
        if (account != NULL) {
            RATCHET_ADD(&account->lent, 1);
            RATCHET_ADD(&account->users, 1);
        }
        if (zmq_msg_init_data(msg, data, size, ratchet_give_back, loan) == 0) return 0;
        ratchet_give_back(data, loan);
        return -1;
    }
    """
    ctypedef struct ratchet_account:
        int lent, bell
        unsigned int born
        Py_ssize_t read_fd, write_fd
    ratchet_account *ratchet_open_account()
    void ratchet_close_bell(Py_ssize_t read_fd, Py_ssize_t write_fd)
    void ratchet_leave_account(ratchet_account *account)
    void ratchet_collect()
    void ratchet_end_loan(ratchet_account *account)
    int ratchet_lend(
        zmq_msg_t *msg, const char *data, size_t size, object owner, ratchet_account *account)
    int lent_now "RATCHET_ADD"(int *lent, int nothing)
    int set_bell "RATCHET_ADD"(int *bell, int one)


cdef class Tracker(Doorbell):
    """Tells when libzmq no longer needs a buffer sent with ``copy=False``.

    It is done when every part has left: written to the connection, received over inproc, or
    dropped. Until then the buffers must not change, and those that could be resized cannot be.
    """
    cdef ratchet_account *account
    cdef unsigned int born
    cdef object __weakref__

    def __cinit__(self):
        self.born = generation
        self.account = ratchet_open_account()
        if self.account == NULL:
            raise MemoryError("no memory for a Tracker")

    def __dealloc__(self):
        ratchet_leave_account(self.account)

    @property
    def done(self) -> bool:
        """True when everything has left."""
        if lent_now(&self.account.lent, 0):
            self.adopt()
            return False
        ratchet_collect()
        return True

    cdef int adopt(self) except -1:
        """Get an account of this process; raise if only the parent can tell what is still lent."""
        cdef ratchet_account *fresh
        if self.born == generation:
            return 0
        if lent_now(&self.account.lent, 0):
            raise errors.ForkedError(
                errno.EBADF,
                "cannot tell in a forked child: what the parent process sends it tracks itself",
            )
        fresh = ratchet_open_account()
        if fresh == NULL:
            raise MemoryError("no memory for a Tracker")
        ratchet_leave_account(self.account)
        self.account = fresh
        self.born = generation
        return 0

    cdef int look(self) noexcept:
        return RX if lent_now(&self.account.lent, 0) == 0 else 0

    cdef Py_ssize_t descriptor(self) noexcept:
        return self.account.read_fd if self.account.bell else -1

    def wait(self, timeout=None):
        """Pause the calling thread until everything has left. In asyncio, ``await tracker``.

        Args:
            timeout: seconds; None: for ever.

        Raises:
            Timeout: libzmq still needs the memory.
        """
        cdef double limit = to_seconds(timeout)
        cdef double deadline = deadline_of(limit)
        cdef Waiter me
        if self.done:
            return
        self.fileno()
        me = waiter_here()
        self.join(self.rx, me)
        try:
            while not self.done:
                if monotonic() >= deadline:
                    raise errors.Timeout(
                        errno.ETIMEDOUT,
                        f"{self!r}: not all has left within {limit:g} s; does the peer receive?",
                    )
                me.woken = False
                me.pause(self, soon_if(self.rx.depends(me), deadline))
        finally:
            self.leave(me)

    cdef bint could_go_on(self, Waiter waiter) except -1:
        waiter.woken = False
        return self.done

    cdef void leave(self, Waiter waiter) noexcept:
        Doorbell.leave(self, waiter)
        if not self.waiting and self.born == generation:  # nobody needs the descriptor any more
            self.unwatch(None)

    def __await__(self):
        from ._awaited import wait_for_tracker

        return wait_for_tracker(self).__await__()

    def fileno(self):
        """Return a descriptor that is readable when everything has left, for an event loop."""
        cdef ratchet_account *account
        cdef Py_ssize_t read_fd, write_fd
        self.adopt()
        account = self.account
        if not account.bell:  # it is made at the first wait
            read_fd, write_fd = new_wakeup().detach()  # lets other threads run, which may fork
            if account.born != generation:
                return self.fileno()
            if account.bell:  # one of them has made it meanwhile
                ratchet_close_bell(read_fd, write_fd)
            else:
                account.read_fd, account.write_fd = read_fd, write_fd
                set_bell(&account.bell, 1)
                if self.look():  # before the bell could tell
                    ratchet_signal(account.write_fd)
        return account.read_fd

    def __reduce__(self):
        raise TypeError("a Tracker cannot be copied or pickled; send what it says once it is done")

    def __repr__(self):
        state = "under way" if lent_now(&self.account.lent, 0) else "done"
        if self.born != generation:
            state += " when the parent process forked"
        return f"<ratchet.zmqsocket.Tracker, {state}>"


@cython.no_gc_clear  # it must know its buffer and its tracker until it is deallocated
cdef class Loan:
    """A buffer that is sent without a copy: held until libzmq is done, and so not resized."""
    cdef Py_buffer view
    cdef Tracker tracker
    cdef bint pending  # libzmq has not taken it yet

    def __cinit__(self, data, Tracker tracker):
        get_view(data, &self.view)
        self.tracker = tracker
        self.pending = True
        lent_now(&tracker.account.lent, 1)

    def __dealloc__(self):
        if self.tracker is not None:
            clear_pending(self)
            PyBuffer_Release(&self.view)


cdef void clear_pending(part) noexcept:
    """Note that libzmq has taken the part, or that its send was abandoned."""
    cdef Loan loan
    if type(part) is Loan:
        loan = <Loan> part
        if loan.pending:
            loan.pending = False
            ratchet_end_loan(loan.tracker.account)


cdef inline bint is_lent(part):
    """Return True for a part that is sent from where it is; others are bytes, and copied."""
    return type(part) is not bytes or <size_t> PyBytes_GET_SIZE(part) >= LEND


cdef inline object tracker_of(part):
    return (<Loan> part).tracker if type(part) is Loan else None


cdef int lend(zmq_msg_t *msg, part) except -1:
    """Make a message of the memory of ``part``, which is bytes, a Loan or a Frame."""
    cdef Loan loan
    cdef int rc
    if type(part) is Frame:
        zmq_msg_init(msg)
        zmq_msg_copy(msg, &(<Frame> part).msg)  # large ones are shared
        return 0
    if type(part) is Loan:
        loan = <Loan> part
        rc = ratchet_lend(msg, <char *> loan.view.buf, loan.view.len, loan, loan.tracker.account)
    else:
        rc = ratchet_lend(msg, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part), part, NULL)
    if rc < 0:
        raise MemoryError("no memory for a message")
    return 0


cdef list to_messages(items, str what, Tracker tracker=None):
    """Copy ``items`` to a list of bytes that nobody can change while the call is paused.

    With a tracker, to a list of loans.
    """
    cdef list found
    cdef Py_ssize_t i
    if isinstance(items, (bytes, bytearray, memoryview, str)):
        raise TypeError(f"{what} must be an iterable of bytes-like objects, not {kind_of(items)}")
    found = list(items)
    for i in range(len(found)):
        if tracker is not None:
            found[i] = Loan(found[i], tracker)
        elif type(found[i]) is not bytes:
            found[i] = snapshot(found[i])
    return found
