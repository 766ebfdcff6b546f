"""The rigs, for every test in this folder."""

from engine_rigs import as_root, local, rig, state

__all__ = ["as_root", "local", "rig", "state"]
