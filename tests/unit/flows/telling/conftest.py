"""Two receivers that really listen."""

from collections.abc import Iterator

import pytest

from tests.support.receivers import Receiver


@pytest.fixture
def receivers() -> Iterator[list[Receiver]]:
    both = [Receiver(), Receiver()]
    yield both
    for one in both:
        one.server.shutdown()
        one.server.server_close()
