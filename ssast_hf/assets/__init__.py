"""What comes with the package besides code: recordings, a very small model, licences, the template of model cards."""

from pathlib import Path


FOLDER = Path(__file__).parent


def bundled_clips() -> list[Path]:
    """Paths of the eight short recordings in the package; `assets/clips/README.md` has sources and licences."""
    folder = FOLDER / "clips"
    return sorted(path for path in folder.iterdir() if path.suffix in (".flac", ".wav"))


def nano_model() -> Path:
    """Folder of the very small pretrained model in the package; its `README.md` says what it is made of."""
    return FOLDER / "nano"
