"""
A map of embedded clips as a picture and as a page that plays them, with duplicates and outliers; or the similarity
over time of a long recording.
"""


def add_arguments(parser):
    parser.add_argument("folder", metavar="OUT", help="the folder that embed wrote its parts into")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where to write index.html and the pictures")
    parser.add_argument("--labels", metavar="CSV", help="a table of paths, or file names, and labels")
    parser.add_argument("--label_column", help="its column of labels (default: found by its usual names)")
    parser.add_argument("--recording", metavar="PATH", help="draw this recording over time instead (frame level)")
    parser.add_argument("--max_clips", type=int, help="clips on the map, drawn at random if there are more (2000)")
    parser.add_argument("--duplicate", type=float, help="the cosine from which on clips are listed as equal (0.9999)")
    parser.add_argument("--max_megabytes", type=float, help="sound within the page; the rest is linked (8)")
    parser.add_argument("--overwrite", action="store_true", help="replace what an earlier run wrote there")


def run(arguments: dict):
    from .exploring.run import explore

    return explore(**arguments)
