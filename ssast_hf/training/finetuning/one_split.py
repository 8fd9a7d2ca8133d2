"""One run: train on a split, choose the weights, test them."""

from dataclasses import asdict, dataclass
from pathlib import Path

from accelerate import PartialState
from transformers import set_seed

from ...audio.bad_files import BadFiles
from ...audio.splits import Split
from ...configuration_ssast import SSASTConfig
from ...feature_extraction_ssast import SSASTFeatureExtractor
from ..arguments import features_on_device
from ..defaults import count_steps, resolve_defaults
from ..messages import say
from ..outcome import find_outcome
from ..recipe import recipe_of_options
from ..resuming import find_checkpoint
from ..run_trainer import train_to_the_end
from ..stopping import StopRequest
from .augmenting import Augmentation
from .clips import LabelledClips, LabelledCollator
from .data_options import FRACTION, LabelledArguments
from .lora import add_lora
from .model import default_learning_rate, leaves_as_stock, make_model, read_extractor
from .normalising import feature_statistics
from .options import EPOCHS, LR_STEPS, FinetuningArguments, TaskArguments
from .report import write_results
from .result import keep_result
from .sameness import check_same_data, data_of
from .splits import Limits
from .tasks import KINDS, Task
from .testing import Tested, test_pairs, test_recordings
from .trainer import FinetuningTrainer
from .trials import Trials


@dataclass(frozen=True)
class Job:
    """
    What the runs on all splits share.

    Args:
        task ([`TaskArguments`]), data ([`LabelledArguments`]): Options.
        start (`str`): The model to begin from.
        config ([`SSASTConfig`]): Its configuration.
        shaped ([`SSASTConfig`]): The same with the length, the strides and the margin of the runs.
        trials ([`Trials`], *optional*): Pairs to test speakers on.
        num_runs (`int`): How many there are.
        stop ([`StopRequest`]): Asked whether to stop.
        command (`str`): The command line.
    """

    task: TaskArguments
    data: LabelledArguments
    start: str
    config: SSASTConfig
    shaped: SSASTConfig
    trials: Trials | None
    num_runs: int
    stop: StopRequest
    command: str


@dataclass(frozen=True)
class Run:
    """
    A run on one split, ready to begin.

    Args:
        split ([`Split`]): What it is on.
        arguments ([`FinetuningArguments`]): How.
        task ([`Task`]): Of its own.
        extractor ([`SSASTFeatureExtractor`]): Of its own.
        clips (`dict[str, LabelledClips]`): The clips of each part.
        checkpoint (`str`, *optional*): What it goes on from.
        defaults (`list[str]`): Names of the options that were left open.
    """

    split: Split
    arguments: FinetuningArguments
    task: Task
    extractor: SSASTFeatureExtractor
    clips: dict[str, LabelledClips]
    checkpoint: str | None
    defaults: list[str]


def steps_apart(config: SSASTConfig, extractor: SSASTFeatureExtractor) -> int:
    """Samples from one clip of a recording to the next, so that their time steps follow each other without a gap."""
    frames = config.time_grid(config.max_length) * config.time_stride
    return extractor.num_samples(frames + 1) - extractor.num_samples(1)


def prepare(job: Job, split: Split, arguments: FinetuningArguments, limits: Limits) -> Run:
    """
    All of a run that needs no model, so that what is wrong in the last fold is told before the first begins.

    Args:
        job ([`Job`]): What is to be done.
        split ([`Split`]): On what.
        arguments ([`FinetuningArguments`]): How; changed in place.
        limits ([`Limits`]): How recordings are cut.

    Raises:
        ValueError: If the output folder is of a run on other data or classes.
    """
    config, task = job.shaped, KINDS[job.task.task](job.task.loss, arguments.label_smoothing_factor)
    task.begin(job.start, job.config, split.train)
    task.config = config
    pooling = job.task.pooling_mode or config.pooling_mode
    # Stock AST takes no mask, and its classifier pools so.
    has_mask = not leaves_as_stock(task, pooling)
    # As it is trained, whatever the model that it starts from did. Under a mask padding makes no difference.
    cut = {"truncation": True} | ({} if has_mask else {"padding": "max_length"})
    extractor = read_extractor(
        job.start,
        max_length=config.max_length,
        num_mel_bins=config.num_mel_bins,
        return_attention_mask=has_mask,
        min_frames=config.patch_shape[1],
        **({"padding": "longest", "truncation": False} if task.fits_whole else cut),
    )
    clips = {
        name: LabelledClips(part, limits.cropper, task.labels(part, extractor), name == "train", limits.hop)
        for name, part in split.parts.items()
    }
    checkpoint = find_checkpoint(arguments, job.task.model_name_or_path)
    if checkpoint is not None:
        check_same_data(checkpoint, data_of(split, task))
    defaults = resolve_options(arguments, task, config, len(clips["train"]))
    return Run(split, arguments, task, extractor, clips, checkpoint, defaults)


def finetune_split(job: Job, run: Run) -> tuple[dict, Tested | None]:
    """
    Train on one split, choose by its validation, and test once.

    Args:
        job ([`Job`]): What is to be done.
        run ([`Run`]): On what, and how.

    Returns:
        `dict`: What `metrics.json` holds; nothing in other processes than the first.
        [`Tested`]: What the model says of the test; `None` of pairs.
    """
    split, arguments, task, extractor, clips = run.split, run.arguments, run.task, run.extractor, run.clips
    checkpoint = run.checkpoint
    bad_file_list = Path(arguments.output_dir) / "skipped_files.txt"
    if checkpoint is None and PartialState().is_local_main_process:
        bad_file_list.unlink(missing_ok=True)
    set_seed(arguments.seed)
    model = make_model(job.start, job.config, job.task, task)
    task.config = model.config
    if job.task.lora_rank is not None:
        add_lora(model, job.task.lora_rank)
    given = job.task.mean, job.task.std
    extractor.mean, extractor.std = feature_statistics(clips["train"], extractor, given, checkpoint, arguments)
    for name, each in clips.items():
        say(f"{len(each):,} clips {'to train on' if name == 'train' else f'for {name}'}.")
    augmentation = Augmentation(
        arguments.mask_frequency,
        arguments.mask_time,
        arguments.mixup,
        arguments.noise_and_roll,
        extractor.mean,
        extractor.std,
    )
    is_changed = arguments.mask_frequency or arguments.mask_time or arguments.mixup or arguments.noise_and_roll
    trainer = FinetuningTrainer(
        model,
        arguments,
        data_collator=LabelledCollator(
            extractor, features_on_device(arguments), model.config.time_grid if job.task.task == "frames" else None
        ),
        train_dataset=clips["train"],
        eval_dataset=clips["validation"],
        processing_class=extractor,
        bad_files=BadFiles(
            bad_file_list,
            job.data.max_bad_fraction,
            total=sum(map(len, clips.values())),
            raise_at_once=job.data.on_bad_file == "raise",
        ),
        recipe=recipe_of_run(job, arguments, extractor, clips) | data_of(split, task),
        keeps_best=True,
        stop=job.stop,
        task=task,
        augmentation=augmentation if is_changed else None,
        checkpoint=checkpoint,
    )
    train_to_the_end(trainer, checkpoint)
    outcome = find_outcome(trainer, loads_best=not arguments.average_last_epochs, may_be_untouched=False)
    keep_result(trainer, outcome, job)
    tested = test_recordings(trainer, clips["test"], split.test) if job.trials is None else None
    pairs = None if job.trials is None else test_pairs(trainer, job.trials, clips["train"].cropper)
    if not trainer.is_world_process_zero():
        return {}, tested
    return write_results(trainer, job, split, outcome, tested, pairs, run.defaults), tested


def resolve_options(arguments: FinetuningArguments, task: Task, config: SSASTConfig, clips: int) -> list[str]:
    """Set what the command line left open; returns the names of these options."""
    asked = arguments.asked
    left_open = [name for name, value in asked.items() if value is None and name != "load_best_model_at_end"]
    if asked["num_train_epochs"] is None and not arguments.is_endless:
        arguments.num_train_epochs = float(EPOCHS)
    if asked["learning_rate"] is None:
        asked["learning_rate"] = arguments.learning_rate = default_learning_rate(config)
    if asked["metric_for_best_model"] is None:
        asked["metric_for_best_model"] = arguments.metric_for_best_model = task.best
    if asked["max_grad_norm"] is None:
        asked["max_grad_norm"] = arguments.max_grad_norm = task.max_grad_norm
    if arguments.lr_step_decay is not None:
        asked["lr_scheduler_type"] = arguments.lr_scheduler_type = "constant_with_warmup"
        for name, default in LR_STEPS.items():
            if getattr(arguments, name) is None:
                setattr(arguments, name, default)
    resolve_defaults(arguments, config, is_continued=True, clips=clips)
    return left_open


def recipe_of_run(job: Job, arguments: FinetuningArguments, extractor, clips: dict[str, LabelledClips]) -> dict:
    """The options of a run, and what they led to, by name, to tell what has changed when it goes on."""
    own = (
        "head_lr_factor layer_decay lr_step_decay lr_step_from lr_step_every average_last_epochs mask_frequency "
        "mask_time mixup noise_and_roll balance_classes label_smoothing_factor"
    ).split()
    options = asdict(job.task) | asdict(job.data) | {name: getattr(arguments, name) for name in own}
    defaults = {"validation_fraction": FRACTION, "test_fraction": FRACTION} | LR_STEPS
    options |= {name: value for name, value in defaults.items() if options[name] is None}
    options |= {"recordings": len(clips["train"]), "mean": extractor.mean, "std": extractor.std}
    steps = count_steps(arguments, len(clips["train"]))
    return recipe_of_options(options, arguments, steps if arguments.decays else None)
