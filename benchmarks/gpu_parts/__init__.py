"""What `gpu.py` checks and measures, in the order in which it does."""
