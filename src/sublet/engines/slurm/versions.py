"""Which Slurm we understand: the shape of its answers changes between releases, so one that was never tried is refused."""

import re

from sublet.core.errors import Invalid

PARSERS = {"22.05": "v0.0.38"}
"""Release -> the version of the data that we read, in slurmrestd's paths and in `squeue --json` alike."""

_RELEASE = re.compile(r"(\d\d\.\d\d)")


def parser_of(version: str) -> str:
    """The data version to speak with this Slurm (`slurm-wlm 22.05.8`); raises `Invalid` for one that was never tried."""
    found = _RELEASE.search(version)
    release = found[1] if found else ""
    parser = PARSERS.get(release)
    if parser is None:
        known = ", ".join(sorted(PARSERS))
        raise Invalid(
            f"the answers of Slurm {release or version!r} are not known here; these are: {known}",
            field="engine",
            hint="a new release is one row in engines/slurm/versions.py and a run of tests/slurm on it",
        )
    return parser
