"""What the authors released, and how to get it."""
