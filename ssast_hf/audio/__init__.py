"""Files, archives, tables and data sets in, batches of features out."""

from .decoding import load_audio


__all__ = ["load_audio"]
