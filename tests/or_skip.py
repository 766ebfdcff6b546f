"""What a machine may be unable to give to a test: the tests that need it are skipped then, with the reason."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

import pytest

Thing = TypeVar("Thing")


@contextmanager
def or_skip(made: AbstractContextManager[Thing], reason: type[Exception]) -> Iterator[Thing]:
    """What is made. Failing to make it, for this reason, skips; a failure inside the test does not."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(made)
        except reason as said:
            pytest.skip(str(said))
        yield found
