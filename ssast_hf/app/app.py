"""A page in the browser: hide parts of a sound and see what a model makes of them, compare, classify, look inside."""


def add_arguments(parser):
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="folders, or names on the Hub (default: nano, the bundled one)"
    )
    parser.add_argument("--host", help="where to listen (default: 127.0.0.1, this machine alone)")
    parser.add_argument("--port", type=int, help="which port (default: 7860)")
    parser.add_argument("--device", help="where to compute (default: the accelerator, else the CPU)")
    parser.add_argument(
        "--trust_remote_code", action="store_true", default=None, help="run code that models bring; read it first"
    )


def run(arguments: dict):
    from .serving import serve

    return serve(**arguments)
