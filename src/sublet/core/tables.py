"""Leases as rows: what rounds ask of many leases at once, in arrays that kernels can run over.

A row is written when its lease changes and given up when it no longer belongs here; rows are reused, so a table is as long as
it ever had to be. `rows` is a structured array; rows that nobody uses have `used` False and are skipped by every kernel.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from sublet.core.lease import LeaseClass, State

STATES = tuple(State)
CLASSES = tuple(LeaseClass)
STATE_CODE = {state: code for code, state in enumerate(STATES)}
CLASS_CODE = {name: code for code, name in enumerate(CLASSES)}
NEVER = np.iinfo(np.int64).max
"""Stands for an instant that does not come."""

HELD_ROW = np.dtype(
    [
        ("used", np.bool_),
        ("state", np.int8),  # index into STATES
        ("lease_class", np.int8),  # index into CLASSES
        ("runs", np.bool_),  # its workload has started: a reclaim loses work and refunds what was billed
        ("tenant", np.int32),  # number of the tenant, given by the standing
        ("gpus", np.int32),
        ("nodes", np.int32),
        ("version", np.int32),
        ("order", np.int64),  # leases are looked at in this order
        ("price_micro", np.int64),  # a GPU-hour; 0 without one
        ("term_us", np.int64),  # its term, or the stretch that is paid ahead
        ("since_us", np.int64),
        ("granted_us", np.int64),
        ("started_us", np.int64),  # where it runs
        ("safe_us", np.int64),  # its work up to here is safe: the last checkpoint, or its start
        ("work_max_us", np.int64),  # an end loses no more work than this; NEVER: all that is not safe
        ("exempt_us", np.int64),
        ("grace_us", np.int64),
        ("deadline_us", np.int64),  # NEVER without one
        ("notice_at_us", np.int64),  # a later round gives it notice then, for a reclaim that was planned; NEVER otherwise
        ("ends_us", np.int64),  # the end of its term or of its funds, whichever is earlier; NEVER without one
    ]
)
"""A lease that holds GPUs. Instants and durations in µs."""

QUEUE_ROW = np.dtype(
    [
        ("used", np.bool_),
        ("whole", np.bool_),
        ("locks", np.bool_),  # granted, it could not be taken back within the promised time
        ("product", np.int32),  # number of its (class, term), given by the standing
        ("tenant", np.int32),
        ("gpus", np.int32),
        ("nodes", np.int32),
        ("order", np.int64),
        ("bid_micro", np.int64),
        ("not_before_us", np.int64),
        ("window_us", np.int64),  # how far ahead its spend is reserved once it is granted
        ("version", np.int32),
    ]
)
"""A lease that waits for its grant."""

PRODUCT = 3
"""The place of `product` in a QUEUE_ROW."""

HOLD_ROW = np.dtype([("lease", np.int32), ("node", np.int32), ("mask", np.uint64)])
"""GPUs of one node that a lease holds: the row of the lease (-1: unused), the row of the node, one bit a GPU."""


class Table:
    """Rows by key. A key's row stays the same as long as it is in the table."""

    def __init__(self, kind: np.dtype[Any]) -> None:
        """An empty table of rows of this kind."""
        self._rows: npt.NDArray[Any] = np.zeros(64, kind)
        self._free: list[int] = []
        self._end = 0
        self._row_of: dict[str, int] = {}
        self.keys: list[str] = []  # by row; of a row that is not used, the last key

    @property
    def rows(self) -> npt.NDArray[Any]:
        """All rows that were ever used; those with `used` False are to be skipped."""
        return self._rows[: self._end]

    def __len__(self) -> int:
        """How many keys are in it."""
        return len(self._row_of)

    def __contains__(self, key: str) -> bool:
        """Whether the key is in it."""
        return key in self._row_of

    def row_of(self, key: str) -> int:
        """The key's row."""
        return self._row_of[key]

    def put(self, key: str, values: tuple[Any, ...]) -> int:
        """Write the key's row, a new one if it has none; `values` in the order of the fields. Its number."""
        row = self._row_of.get(key)
        if row is None:
            row = self._fresh(key)
        self._rows[row] = values
        return row

    def drop(self, key: str) -> None:
        """Give up the key's row."""
        row = self._row_of.pop(key)
        self._rows[row]["used"] = False
        self._free.append(row)

    def _fresh(self, key: str) -> int:
        if self._free:
            row = self._free.pop()
            self.keys[row] = key
        else:
            row = self._end
            self._end += 1
            self.keys.append(key)
            if self._end > len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._row_of[key] = row
        return row


class Holds:
    """Which lease holds which GPUs, as rows. A lease has one row a node."""

    def __init__(self) -> None:
        """Nothing is held."""
        self._rows: npt.NDArray[Any] = np.zeros(64, HOLD_ROW)
        self._free: list[int] = []
        self._end = 0
        self._of: dict[int, tuple[int, ...]] = {}

    @property
    def rows(self) -> npt.NDArray[Any]:
        """All rows that were ever used; those of lease -1 are to be skipped."""
        return self._rows[: self._end]

    def add(self, lease: int, parts: list[tuple[int, int]]) -> None:
        """The lease of this row holds these (node row, mask)."""
        mine = []
        for node, mask in parts:
            row = self._free.pop() if self._free else self._end
            if row == self._end:
                self._end += 1
                if self._end > len(self._rows):
                    self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            self._rows[row] = (lease, node, mask)
            mine.append(row)
        self._of[lease] = tuple(mine)

    def drop(self, lease: int) -> None:
        """The lease of this row holds nothing any more."""
        for row in self._of.pop(lease, ()):
            self._rows[row]["lease"] = -1
            self._free.append(row)
