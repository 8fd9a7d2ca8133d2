"""
Write the cards of the released checkpoints into this folder, from `template.md` and the package's `checkpoints.json`.

    python model_cards/render.py

The same as `make cards`.
"""

from pathlib import Path

from ssast_hf.hub.cards import render_released


if __name__ == "__main__":
    for path in render_released(Path(__file__).parent):
        print(path.name)
