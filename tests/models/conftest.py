"""What the tests of models share."""

from doors import doors_on_sqlite

__all__ = ["doors_on_sqlite"]
