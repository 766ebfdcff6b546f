"""Readers of job histories."""
