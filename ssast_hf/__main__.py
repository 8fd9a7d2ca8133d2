"""`python -m ssast_hf` is the `ssast-hf` command."""

from .cli import main


raise SystemExit(main())
