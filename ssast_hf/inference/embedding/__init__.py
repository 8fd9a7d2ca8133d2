"""What `ssast-hf embed` does: data sets in, parts of embeddings out, and how they are read again."""
