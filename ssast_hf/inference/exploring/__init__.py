"""What is found in parts of embeddings: maps, neighbours, a recording over time."""
