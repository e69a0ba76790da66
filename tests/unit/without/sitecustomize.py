"""Python as it is elsewhere: takes what RATCHET_TEST_WITHOUT names from `select` and `os`.

PYTHONPATH brings it to the tests and to every process that they start:

    RATCHET_TEST_WITHOUT="epoll poll eventfd" PYTHONPATH=tests/unit/without make test
"""

import os
import select

for name in os.environ.get("RATCHET_TEST_WITHOUT", "").split():
    for module in (select, os):
        if hasattr(module, name):
            delattr(module, name)
