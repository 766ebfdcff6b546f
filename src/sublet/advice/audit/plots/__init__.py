"""Figures of an audit."""
