"""To and from the Hub: staging, publishing, cards, and the released checkpoints."""
