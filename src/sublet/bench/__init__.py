"""Measurements of this very program, each as a ratio to something plain that is measured in the same run."""
