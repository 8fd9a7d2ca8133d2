"""A clean folder for a repository from a model's folder."""

import shutil
from pathlib import Path

from ..assets import FOLDER as ASSETS
from ..assets import titled_clips
from ..checkpoints.origin import read_origin
from ..checkpoints.records import released_checkpoints
from ..configuration_ssast import SSASTConfig, code_files
from ..conversion.folders import read_feature_extractor, read_model
from ..conversion.kinds import kind_named, kind_of
from ..conversion.original import EXTRAS_FILE
from ..feature_extraction_ssast import SSASTFeatureExtractor
from ..heads_ssast import SSASTForCTC
from ..storage.guards import writing
from ..storage.reading import find_file, weight_files
from .cards import EXAMPLES, differences, record_card, render_card
from .facts import read_accuracy, read_training
from .readme import check_metadata, combine, license_of, read_card
from .tokenizer import tokenizer_files


# Pictures that this package draws; others in the folder are nobody's business.
PICTURES = ("curves.png", "reconstruction.png")


def stage_repository(
    model_dir, folder: Path, repo_id: str, license=None, datasets=None, base_model=None, record: dict | None = None
) -> SSASTConfig:
    """
    Write everything that a repository consists of, and nothing else of `model_dir`, into the new `folder`.

    Args:
        model_dir (`str` or `Path`): The folder of a saved model and its feature extractor.
        folder (`Path`): Where to write.
        repo_id, license, datasets, base_model: For the card, as in [`cards.render_card`].
        record (`dict`, *optional*): Record of the released checkpoint that it is. Without it, a folder whose weights
            are those of a converted released checkpoint, unchanged, is known as such.

    Returns:
        [`SSASTConfig`]: The configuration, which names the class of the model.

    Raises:
        ValueError, OSError: If something is missing or does not fit.
    """
    model_dir = Path(model_dir)
    config, state = read_model(model_dir)
    config.architectures = [kind_of(state).__name__]
    feature_extractor = read_feature_extractor(model_dir, SSASTFeatureExtractor)
    if feature_extractor is None:
        raise ValueError(
            f"{model_dir} has no preprocessor_config.json. Save the model's feature extractor beside it: "
            "SSASTFeatureExtractor(...).save_pretrained(folder)."
        )
    if feature_extractor.num_mel_bins != config.num_mel_bins:
        raise ValueError(
            f"preprocessor_config.json has num_mel_bins={feature_extractor.num_mel_bins}, config.json "
            f"{config.num_mel_bins}: this feature extractor does not belong to this model."
        )
    tokenizer = tokenizer_files(model_dir) if config.architectures == [SSASTForCTC.__name__] else []
    pictures = find_pictures(model_dir)
    origin = read_origin(model_dir)
    if record is None and origin is not None:
        record = released_checkpoints().get(origin["name"])
        if record is not None and differences(config, record):
            record = None  # the same weights with another configuration
    if record is None:
        is_classifier = config.architectures == ["SSASTForAudioClassification"]
        training = read_training(model_dir)
        if training is not None and training["is_on_hub"]:
            base_model = base_model or training["base_model"]
        card = render_card(
            config,
            repo_id,
            license=license,
            datasets=datasets,
            base_model=base_model,
            sampling_rate=feature_extractor.sampling_rate,
            pictures=pictures,
            training=training,
            accuracy=read_accuracy(model_dir) if is_classifier else None,
        )
    elif license or datasets or base_model:
        raise ValueError(
            f"{model_dir} holds {record['name']}, whose card names its authors' licence and data: leave out license, "
            "datasets and base_model."
        )
    else:
        card = record_card(record, repo_id, None if origin is None else origin["sha256"])
        license = license_of(card)
    readme = find_file(model_dir, "README.md")
    existing = None if readme is None else read_card(readme)
    card = combine(existing, card, str(model_dir / "README.md"), license)
    check_metadata(card, str(model_dir / "README.md"))

    extras = find_file(model_dir, EXTRAS_FILE)
    with writing(folder):
        folder.mkdir(parents=True)
        (folder / "README.md").write_bytes(card.encode("utf-8"))
        config.save_pretrained(folder)
        feature_extractor.save_pretrained(folder)
        for path in (
            *weight_files(model_dir),
            *([] if extras is None else [extras]),
            *tokenizer,
            *code_files(),
            *ASSETS.glob("LICENSE*"),
        ):
            shutil.copy(path, folder)
        for name in pictures:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(model_dir / name, folder / name)
        if (example := EXAMPLES.get(kind_named(config.architectures[0]))) is not None:
            (folder / "examples").mkdir()
            shutil.copy(titled_clips()[example], folder / "examples")
    return config


def find_pictures(model_dir: Path) -> tuple[str, ...]:
    """Names of the pictures of a training run; of those drawn on the way, the last."""
    drawn = sorted(path.name for path in (model_dir / "figures").glob("step-*-clip-*.png"))
    last = [f"figures/{name}" for name in drawn if name.startswith(drawn[-1].split("-clip-")[0])]
    return tuple(name for name in (*PICTURES, *last) if find_file(model_dir, name) is not None)
