"""How a lease runs a program of this package: a server's supervisor, a fine-tuning job."""

import shlex
from collections.abc import Sequence


def own_program(module: str, words: Sequence[str] = (), *, programs: str = "") -> str:
    """The command of a workload. `programs`: the folder with our `python` where that is not the one on the run's PATH."""
    first = f'export PATH={shlex.quote(programs)}:"$PATH"; ' if programs else ""
    return f"{first}exec python -P -m {module} {shlex.join(words)}".rstrip()
