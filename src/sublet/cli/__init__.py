"""The command line. Commands translate and call the public API."""
