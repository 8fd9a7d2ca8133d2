"""Damaged and hostile inputs for the package's own functions, and what becomes of each. See `fuzz.py`."""
