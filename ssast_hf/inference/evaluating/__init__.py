"""What `ssast-hf evaluate` does: frozen encoders side by side on labelled recordings."""
