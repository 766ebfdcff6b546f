"""The live page, on the public API."""
