"""The embedded clips that are most like a recording, or like one of them."""


def add_arguments(parser):
    parser.add_argument("folder", metavar="OUT", help="the folder that embed wrote its parts into")
    parser.add_argument("query", metavar="QUERY", help="an audio file, or a path that is in the parts")
    parser.add_argument("-k", type=int, help="how many (default: 10)")
    parser.add_argument("--model", help="where the model is now that made the parts (default: where it was)")
    parser.add_argument("--output", metavar="FILE", help="write the table into this CSV file, too")
    parser.add_argument("--overwrite", action="store_true", help="replace that file")


def run(arguments: dict) -> list[str]:
    from .exploring.searching import find_neighbours

    return find_neighbours(**arguments)
