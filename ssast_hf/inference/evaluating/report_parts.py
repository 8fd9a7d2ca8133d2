"""What the reports of all kinds of labels have in common."""

# Told apart by most people.
COLOURS = "#0072b2 #e69f00 #009e73 #cc79a7 #56b4e9 #d55e00 #7b2382 #8c6d31".split()


def is_model(result: dict) -> bool:
    """Whether features are those of a model as it is, and not a baseline."""
    return "sha256" in result


def how_pooled(settings: dict) -> str:
    """A sentence for the list of how it was done."""
    beside = ", and beside it their standard deviation over time" if settings["pooling"] == "statistics" else ""
    return (
        f"- Encoders are frozen. A clip is the mean of a layer's vectors over what is not padding{beside}. Layer 0 is "
        "what goes into the first layer."
    )


def span(interval) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
