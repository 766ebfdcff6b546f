"""Figures of a decision."""
