"""Use cases: load, ask the core, save. One noun a file."""
