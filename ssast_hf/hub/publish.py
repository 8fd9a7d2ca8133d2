"""Publish a model on the Hub, so that it loads where this package is not installed."""


def add_arguments(parser):
    parser.add_argument("model_dir", help="the folder of a saved model, with or without a head")
    parser.add_argument("--repo_id", required=True, help="NAMESPACE/NAME; created if there is none")
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
    from .upload import publish

    show_transfers()
    return publish(**arguments)


def show_transfers():
    """Bars for what is uploaded, which are hidden together with those of loading."""
    from huggingface_hub.utils import enable_progress_bars

    enable_progress_bars()
