"""Publish a model on the Hub, so that it loads where this package is not installed; or the page of one as a Space."""

# Options that a Space has none of.
OF_MODELS = ("datasets", "base_model")


def add_arguments(parser):
    parser.add_argument(
        "model_dir", nargs="?", help="the folder of a saved model, with or without a head (of --space: default nano)"
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--repo_id", help="NAMESPACE/NAME of the model; created if there is none")
    target.add_argument("--space", help="NAMESPACE/NAME of a Space with the page of `ssast-hf app` instead")
    add_private(parser)
    parser.add_argument("--create_pr", action="store_true", help="open a pull request instead of committing")
    parser.add_argument("--revision", help="branch to commit to, created if there is none (default: main)")
    parser.add_argument("--dry_run", action="store_true", help="stage, verify and show the card; upload nothing")
    parser.add_argument("--license", help="licence of the weights, as the Hub spells it, for example cc-by-4.0")
    parser.add_argument("--datasets", nargs="+", help="data sets on the Hub that it was trained on")
    parser.add_argument("--base_model", help="repository of the model that training began from")
    parser.add_argument("--commit_message", help="title of the commit")


def add_private(parser):
    parser.add_argument("--private", action="store_true", help="create repositories as private")


def run(arguments: dict) -> list[str]:
    if "space" in arguments:
        if others := [name for name in OF_MODELS if name in arguments]:
            raise ValueError(f"--{others[0]} is for models (--repo_id), and not for a Space. Leave it out.")
        from .space import publish_space

        show_transfers()
        return publish_space(**{"model_dir": "nano"} | arguments)
    if "model_dir" not in arguments:
        raise ValueError("Which model? Name its folder: ssast-hf publish FOLDER --repo_id NAMESPACE/NAME.")
    from .upload import publish

    show_transfers()
    return publish(**arguments)


def show_transfers():
    """Bars for what is uploaded, which are hidden together with those of loading."""
    from huggingface_hub.utils import enable_progress_bars

    enable_progress_bars()
