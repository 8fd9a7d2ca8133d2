"""Model cards: the README.md of a repository, from a configuration and, for a released checkpoint, its record."""

from pathlib import Path

import jinja2
import torch
from huggingface_hub import EvalResult, ModelCardData

from ..assets import FOLDER as ASSETS
from ..assets import clip_credits, titled_clips
from ..checkpoints.records import released_checkpoints
from ..configuration_ssast import SSASTConfig, same_share
from ..conversion.kinds import kind_named
from ..heads_ssast import SSASTForAudioClassification, SSASTForCTC, SSASTHeadModel
from ..modeling_ssast import SSASTForPretraining, SSASTModel
from .readme import sign


ORIGINAL_URL = "https://github.com/YuanGongND/ssast"
# In the examples of cards that are not of a published repository.
NAMESPACE = "your-namespace"
# Names in `checkpoints.json` -> data set on the Hub, and what it is.
DATASETS = {
    "AudioSet": ("agkphysics/AudioSet", "the full training set of AudioSet, ten-second clips of videos on YouTube"),
    "AudioSet-2M": ("agkphysics/AudioSet", "the full training set of AudioSet, ten-second clips of videos on YouTube"),
    "AudioSet-20K": (
        "agkphysics/AudioSet",
        "the balanced training set of AudioSet, 20,000 clips of videos on YouTube",
    ),
    "Librispeech": ("openslr/librispeech_asr", "Librispeech, 960 hours of English audio books, read aloud"),
}
# Published figures -> what to call them, and for a single benchmark: data set on the Hub, its part, type of metric.
BENCHMARKS: dict[str, tuple] = {
    "average_audio": ("average of AudioSet-20K and ESC-50",),
    "average_speech": ("average of Speech Commands v1 and v2, VoxCeleb1 and IEMOCAP",),
    "audioset_20k_map": ("AudioSet-20K, mAP", "agkphysics/AudioSet", "balanced", "mAP"),
    "esc50_accuracy": ("ESC-50, accuracy", "ashraq/esc50", None, "accuracy"),
    "speech_commands_v2_accuracy": ("Speech Commands v2, accuracy", "google/speech_commands", "v0.02", "accuracy"),
    "speech_commands_v1_accuracy": ("Speech Commands v1, accuracy", "google/speech_commands", "v0.01", "accuracy"),
    "voxceleb1_speaker_identification_accuracy":
        ("VoxCeleb1 speaker identification, accuracy", "s3prl/superb", "si", "accuracy"),
    "iemocap_emotion_recognition_accuracy":
        ("IEMOCAP emotion recognition, accuracy", "s3prl/superb", "er", "accuracy"),
}  # fmt: skip
# What the Hub calls the task of a model with a head, if it has a name for it.
PIPELINE_TAGS: dict[type, str] = {
    SSASTForAudioClassification: "audio-classification",
    SSASTForCTC: "automatic-speech-recognition",
}
# What the Hub offers to try such a model with: bundled recordings, in `examples/` beside the weights.
EXAMPLES: dict[type, str] = {SSASTForAudioClassification: "dog", SSASTForCTC: "speech"}
OBJECTIVES = {
    "joint": "discrimination and reconstruction of masked patches",
    "discriminative": "discrimination of masked patches alone",
    "generative": "reconstruction of masked patches alone",
}


def repository_name(checkpoint: str) -> str:
    """What a released checkpoint is called as a folder and as a repository."""
    return checkpoint.lower()


def record_config(record: dict) -> SSASTConfig:
    """The configuration of a released checkpoint as its record in `checkpoints.json` gives it."""
    names = (
        "hidden_size num_hidden_layers num_attention_heads patch_size max_length num_mel_bins num_masked_patches "
        "objective"
    ).split()
    config = SSASTConfig(**{name: record[name] for name in names}, intermediate_size=4 * record["hidden_size"])
    config.architectures = ["SSASTForPretraining"]
    return config


def differences(config: SSASTConfig, record: dict) -> list[str]:
    """Where a model that is called like a released checkpoint is not what the record says, in words."""
    recorded = record_config(record)
    named = "hidden_size num_hidden_layers num_attention_heads patch_shape max_length num_mel_bins objective".split()
    expected = {name: getattr(recorded, name) for name in named}
    # The same share of the patches; a model of the released size has as many as the record counts on.
    expected["num_masked_patches"] = same_share(recorded.num_masked_patches, recorded.num_patches, config.num_patches)
    return [
        f"{name} is {getattr(config, name)}, the record of {record['name']} says {value}"
        for name, value in expected.items()
        if getattr(config, name) != value
    ]


def record_card(record: dict, repo_id: str | None = None, sha256: str | None = None) -> str:
    """
    The card of a released checkpoint in the repository `repo_id`, by default a placeholder; `sha256` is the checksum
    of the original file if it was converted.
    """
    repo_id = repo_id or f"{NAMESPACE}/{repository_name(record['name'])}"
    return render_card(record_config(record), repo_id, record=record, sha256=sha256)


def render_card(
    config: SSASTConfig,
    repo_id: str,
    record: dict | None = None,
    sha256: str | None = None,
    license: str | None = None,
    datasets: list[str] | None = None,
    base_model: str | None = None,
    sampling_rate: int = 16000,
    pictures: tuple[str, ...] = (),
    training: dict | None = None,
    accuracy: float | None = None,
) -> str:
    """
    Write a model card.

    Args:
        config ([`SSASTConfig`]): Of the model; its `architectures` tell pretraining from classification models.
        repo_id (`str`): The repository that the examples load.
        record (`dict`, *optional*): Record of the released checkpoint that it is, from `checkpoints.json`.
        sha256 (`str`, *optional*): Checksum of the released file that was converted.
        license (`str`, *optional*): Identifier of the licence of the weights, as the Hub spells it.
        datasets (`list[str]`, *optional*): Data sets on the Hub that it was trained on.
        base_model (`str`, *optional*): Repository of the model that training began from.
        sampling_rate (`int`, defaults to 16000): Of the feature extractor, in Hz.
        pictures (`tuple[str, ...]`): Their paths in the repository.
        training (`dict`, *optional*): What [`facts.read_training`] returns.
        accuracy (`float`, *optional*): Of a classifier, from 0 to 1, as its folder says.

    Returns:
        `str`: The README.md, metadata and text.
    """
    model_class = kind_named((config.architectures or ["SSASTForPretraining"])[0])
    is_classifier = model_class is SSASTForAudioClassification
    published = {} if record is None else record["published"]
    title = repo_id.split("/")[-1] if record is None else record["name"]
    example = EXAMPLES.get(model_class)
    widget = None if example is None else [{"example_title": example, "src": example_url(repo_id, example)}]
    metadata = ModelCardData(
        license="bsd-3-clause" if record is not None else license,
        library_name="transformers",
        pipeline_tag=PIPELINE_TAGS.get(model_class, "feature-extraction"),
        tags=["audio", "ssast", "audio-spectrogram-transformer", "self-supervised-learning"],
        datasets=datasets if record is None else hub_datasets(record),
        base_model=base_model,
        model_name=title,
        eval_results=eval_results(published) or None,
        **({} if widget is None else {"widget": widget}),
    )
    template = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    ).from_string((ASSETS / "model_card.md").read_text(encoding="utf-8"))
    card = template.render(
        card_data=metadata.to_yaml(),
        title=title,
        repo_id=repo_id,
        config=config,
        record=record,
        sha256=sha256,
        is_classifier=is_classifier,
        is_recogniser=model_class is SSASTForCTC,
        has_heads=model_class is SSASTForPretraining,
        details=details(config, model_class, record),
        license=license,
        datasets=datasets,
        descriptions={name: description for name, (_, description) in DATASETS.items()},
        base_model=base_model,
        sampling_rate=sampling_rate,
        pictures=pictures,
        training=training,
        start=None if training is None else training["base_model"],
        trained_on=None if training is None else data_in_words(training),
        validated=[] if training is None else validation_rows(training["validation"]),
        accuracy=accuracy,
        published=[(BENCHMARKS.get(name, [name])[0], value) for name, value in published.items()],
        original_url=ORIGINAL_URL,
        example=None if example is None else titled_clips()[example].name,
        example_credit=None if example is None else clip_credits()[titled_clips()[example].name],
    )
    return sign(card)


def example_url(repo_id: str, example: str) -> str:
    """Where the page of a model finds its example."""
    return f"https://huggingface.co/{repo_id}/resolve/main/examples/{titled_clips()[example].name}"


def data_in_words(training: dict) -> str:
    """Sources of a run, and how much there was, as far as it knew."""
    counted = {"recordings": training["recordings"], "hours": training["hours"]}
    amount = ", ".join(f"{value:.4g} {name}" for name, value in counted.items() if value is not None)
    return ", ".join(f"`{source}`" for source in training["sources"]) + (f": {amount}" if amount else "")


def validation_rows(validation: dict) -> list[tuple[str, ...]]:
    """Rows of a table: what was measured, before and after the run."""
    before, after = (validation.get(when, {}) for when in ("before", "after"))
    titles = {"loss": "loss", "accuracy": "pretext accuracy"}
    return [
        (title, *(f"{figures[name]:.4g}" if name in figures else "-" for figures in (before, after)))
        for name, title in titles.items()
        if name in after
    ]


def hub_datasets(record: dict) -> list[str] | None:
    """Where the Hub has what a released checkpoint was trained on."""
    return [DATASETS[name][0] for name in record["pretraining_data"] if name in DATASETS] or None


def eval_results(published: dict) -> list[EvalResult]:
    """Published figures of single benchmarks in the Hub's form; averages have no place there."""
    return [
        EvalResult(
            task_type="audio-classification",
            dataset_type=BENCHMARKS[name][1],
            dataset_name=BENCHMARKS[name][0].rsplit(",", 1)[0],
            dataset_config=BENCHMARKS[name][2],
            metric_type=BENCHMARKS[name][3],
            metric_name=f"{BENCHMARKS[name][3]} after fine-tuning, in percent",
            metric_value=value,
            verified=False,
            source_name="published by the authors of SSAST",
            source_url=ORIGINAL_URL,
        )
        for name, value in published.items()
        if len(BENCHMARKS.get(name, ())) > 1
    ]


def details(config: SSASTConfig, model_class, record: dict | None) -> list[tuple[str, str]]:
    """Rows of a table, from the configuration and the class; of a released checkpoint, with the authors' count."""
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in model_class(config).parameters())
    counted = f"{parameters / 1e6:.1f}M"
    if record is not None:
        counted += f", pretraining heads included; {record['parameters']} according to the authors"
    height, width = config.patch_shape
    rows = [
        ("parameters", counted),
        ("width, layers, attention heads",
         f"{config.hidden_size}, {config.num_hidden_layers}, {config.num_attention_heads}"),
        ("input", f"{config.max_length} frames of 10 ms, {config.num_mel_bins} mel bins"),
        ("patches", f"{height} mel bins x {width} frames, {config.num_patches} in a full-length clip"),
    ]  # fmt: skip
    if model_class is SSASTForCTC:
        return [*rows, ("characters", f"{config.vocab_size}, one token per {10 * config.time_stride} ms")]
    if issubclass(model_class, SSASTHeadModel):
        names = [config.id2label[index] for index in sorted(config.id2label)]
        shown = ", ".join(map(str, names[:20])) + (", ..." if len(names) > 20 else "")
        rows.append(("classes", f"{len(names)}: {shown}"))
        if model_class is SSASTForAudioClassification:
            rows.append(("pooling", config.pooling_mode or "mean"))
        return rows
    if model_class is SSASTModel:
        return rows
    masked = f"{config.num_masked_patches} of {config.num_patches} patches masked"
    rows.append(("pretraining", f"{OBJECTIVES[config.objective]}, {masked}"))
    if config.decoder_num_hidden_layers:
        rows.append(("decoder", f"{config.decoder_num_hidden_layers} layers; the encoder saw visible patches only"))
    return rows


def render_released(folder: Path) -> list[Path]:
    """Write the cards of all released checkpoints into `folder`; returns their paths."""
    paths = []
    for name, record in released_checkpoints().items():
        paths.append(folder / f"{repository_name(name)}.md")
        paths[-1].write_text(record_card(record), encoding="utf-8")
    return paths
