"""Loops over arrays, compiled by numba: no Python object is touched inside.

Each says its shapes and units and has a plain twin in the tests that it must equal. Compiled code is kept beside the source (or
in the user's cache), so a machine pays for compiling once.
"""
