"""The demo: a day of a real trace, compressed into about a minute, on the real control plane."""
