"""Training: arguments, the Trainer, whole checkpoints, reports and pictures."""
