"""What every engine owes the control plane, on a real Slurm cluster."""

from test_conformance import *  # noqa: F403 - the very same tests
