"""What the command `predict` is made of."""
