"""What the commands print of a conversion: a few lines about the result, the whole audit, or the audit in a file."""

import math
from collections import Counter

from ..configuration_ssast import SSASTConfig
from ..storage.reading import weight_shapes
from ..storage.writing import check_output, resolved, written_whole
from .kinds import ENCODER, kind_of


# The word that an audit begins a line with -> what the summary says of so many such lines.
FATES = {
    "renamed": "{} renamed",
    "split": "{} split into query, key and value",
    "config": "{} now in config.json",
    "dropped": "{} unused, kept beside the model",
}


def run_with_summary(convert, summarise, arguments: dict, source: str) -> list[str]:
    """
    Convert as a command was told, and return what it prints.

    Args:
        convert (`Callable`): Takes the other arguments; returns the audit, a list of lines.
        summarise (`Callable`): Takes the audit, the folder that was written, and where all of the audit is to be had;
            returns a few lines.
        arguments (`dict`): The command's, with those of [`add_audit_options`], which are taken out.
        source (`str`): What is converted; no audit takes its place.
    """
    verbose, audit_file = arguments.pop("verbose", False), arguments.pop("audit_file", None)
    output_dir = arguments["output_dir"]
    if audit_file is not None:  # before the work
        if resolved(audit_file) == resolved(output_dir):
            raise ValueError(f"--audit_file {audit_file} is the folder to write; name a file.")
        check_output(audit_file, arguments.get("overwrite", False), source=source, is_folder=False)
    audit = convert(**arguments)
    if audit_file is not None:
        with written_whole(audit_file) as path:
            path.write_text("\n".join(audit) + "\n", encoding="utf-8")
    lines = audit if verbose else summarise(audit, output_dir, audit_file or "--verbose")
    return [*lines, f"Written: {output_dir}"]


def summary_of_conversion(audit: list[str], folder, all_of_it: str) -> list[str]:
    """Four lines about what was converted from the original, and every note of the audit."""
    counts = Counter(line.partition(" ")[0] for line in audit)
    fates = [text.format(counts[word]) for word, text in FATES.items() if counts[word]]
    if counts["absent"]:
        fates.append("no pretraining heads: the file is of fine-tuning")
    config, shapes = SSASTConfig.from_pretrained(folder), weight_shapes(folder)
    millions = sum(math.prod(shape) for shape in shapes.values()) / 1e6
    height, width = config.patch_shape
    masked = f", {config.num_masked_patches} of {config.num_patches} masked" if not counts["absent"] else ""
    accounted = next(line for line in audit if "accounted for" in line).rstrip(".")
    return [
        f"tensors  {accounted} ({all_of_it} names them)",
        f"weights  {', '.join(fates)}; bit for bit",
        f"model    {kind_of(shapes).__name__}, {millions:.1f}M parameters, {config.dtype}, {config.num_hidden_layers} "
        f"layers of width {config.hidden_size}".replace("torch.", ""),
        f"input    {config.max_length} frames ({config.max_length / 100:g} s) of {config.num_mel_bins} mel bins, "
        f"patches of {height} x {width}{masked}",
        *(line for line in audit if line.startswith("note ")),
    ]


def summary_of_change(audit: list[str], folder, all_of_it: str) -> list[str]:
    """An audit between this package and stock AST, with all tensors of one fate in one line."""
    fates: dict[str, list[str]] = {"fresh": [], "dropped": []}
    others: list[str] = []
    for line in audit:
        word, _, rest = line.partition(" ")
        if word in fates:
            fates[word].append(rest.strip())
        else:
            others.append(line)
    lines = []
    for word, rests in fates.items():
        names = dict.fromkeys(module_of(rest.partition(" ")[0]) for rest in rests)
        if len(rests) == 1:
            lines.append(f"{word:8} {rests[0]}")
        elif rests:
            lines.append(f"{word:8} {len(rests)} tensors: {', '.join(names)} ({all_of_it} names them)")
    return lines + others


def module_of(key: str) -> str:
    """What a tensor belongs to, for people: `classifier`, `decoder`, or `embeddings.mask_token`."""
    name = key.removeprefix(ENCODER)
    return name if name.startswith("embeddings.") else name.partition(".")[0]
