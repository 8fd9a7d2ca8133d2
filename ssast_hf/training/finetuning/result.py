"""Which weights are the result of a run, and how they are saved."""

from pathlib import Path

from ...storage.reading import read_weights
from ..outcome import Outcome
from ..saving import save_result
from .lora import FOLDER, merge
from .model import make_model


def keep_result(trainer, outcome: Outcome, job):
    """
    Save the chosen weights into the output folder, and go on with them: the best of what was validated, or the mean of
    the last epochs.

    Args:
        trainer ([`FinetuningTrainer`]): Of a run that has ended.
        outcome ([`Outcome`]): What its validations say.
        job ([`Job`]): The options of the run.
    """
    folder, model = Path(trainer.args.output_dir), trainer.accelerator.unwrap_model(trainer.model)
    if trainer.average is not None:
        trainer.average.go_on(trainer.state)
        model.load_state_dict(trainer.average.mean)
    elif outcome.checkpoint is not None:
        model.load_state_dict(read_weights(outcome.checkpoint))
    # In a checkpoint is the configuration as it was then.
    is_settled = trainer.task.settle(outcome.result)
    result = None
    if job.task.lora_rank is not None and trainer.is_world_process_zero():
        plain = make_model(job.start, job.config, job.task, trainer.task, is_again=True)
        result = merge(model, plain, job.task.lora_rank, job.start, folder / FOLDER)
    is_changed = trainer.average is not None or job.task.lora_rank is not None or is_settled
    chosen = None if is_changed else outcome.checkpoint
    if trainer.average is not None and result is None and trainer.is_world_process_zero():
        result = model
    save_result(trainer, chosen, result)
    trainer.save_state()
    if trainer.task.tokenizer is not None and trainer.is_world_process_zero():
        trainer.task.tokenizer.save_pretrained(folder)
