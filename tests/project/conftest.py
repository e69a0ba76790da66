"""What tests of examples share: programs that run ahead of the tests that look at them."""

import pytest
from harness.examples import Ahead


@pytest.fixture(scope="module")
def ahead(request, tmp_path_factory):
    """Runs the examples of this module's tests, those alone that were asked for."""
    paths = [
        item.callspec.params["path"]
        for item in request.session.items
        if item.path == request.path and "ahead" in item.fixturenames
    ]
    ahead = Ahead(paths, tmp_path_factory.mktemp("examples"))
    yield ahead
    ahead.close()
