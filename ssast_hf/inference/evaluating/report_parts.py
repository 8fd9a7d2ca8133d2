"""What the reports of all kinds of labels have in common."""

# Told apart by most people.
COLOURS = "#0072b2 #e69f00 #009e73 #cc79a7 #56b4e9 #d55e00 #7b2382 #8c6d31".split()


def is_model(result: dict) -> bool:
    """Whether features are those of a model as it is, and not a baseline."""
    return "sha256" in result


def how_pooled(settings: dict) -> str:
    """A sentence for the list of how it was done."""
    beside = {
        "statistics": ", and beside it their standard deviation over time",
        "bands": ", one for each frequency of its patches, side by side (models of waveforms have one)",
    }.get(settings["pooling"], "")
    return (
        f"- Encoders are frozen. A clip is the mean of a layer's vectors over what is not padding{beside}. Layer 0 is "
        "what goes into the first layer."
    )


def layers_table(results: list[dict], metric: str) -> list[str]:
    """A section about the linear probe of each layer, of what has several."""
    deep = [each for each in results if each["num_layers"] > 1]
    if not deep:
        return []
    most = max(each["num_layers"] for each in deep)
    rows = []
    for each in deep:
        cells = [f"{value:.3f}" for value in each["probe"]["by_layer"]] + [""] * (most - each["num_layers"])
        rows.append(f"| {each['name']} | {' | '.join(cells)} |")
    return [
        "## Layers",
        "",
        f"What the layer was chosen by: {metric} of the linear probe of each layer in cross-validation within the "
        "training folds, the mean over tests (and over random models).",
        "",
        f"| features | {' | '.join(map(str, range(most)))} |",
        "|---" * (most + 1) + "|",
        *rows,
        "",
    ]
