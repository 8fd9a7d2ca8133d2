"""Weights and folders on disk: safe reading, whole writing. No network."""
