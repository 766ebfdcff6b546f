"""Sublet leases out the GPUs that sit idle, and hands them back the moment their owner needs them."""

from sublet.checkpoint import checkpointed

__all__ = ["checkpointed"]
__version__ = "0.1.0"
