"""The core on a trace: the decisions that run live, on jobs that have been."""
