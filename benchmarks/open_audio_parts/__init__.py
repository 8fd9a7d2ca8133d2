"""Parts of `open_audio.py`."""
