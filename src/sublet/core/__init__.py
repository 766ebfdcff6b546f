"""All decisions, as pure functions over values. No I/O, no clock, no randomness: they are arguments."""
