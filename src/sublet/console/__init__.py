"""The live page at `/`: plain files in the package, fed by the public API and nothing else."""

from sublet.console.pages import router

__all__ = ["router"]
