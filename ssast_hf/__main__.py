"""`python -m ssast_hf` is the `ssast-hf` command."""

from .cli import main


if __name__ == "__main__":
    raise SystemExit(main())
