"""When a run needs more memory than there is: how much it is likely to need, and which options would fit."""

from contextlib import contextmanager
from pathlib import Path

import torch

from ..configuration_ssast import SSASTConfig
from ..modeling_ssast import SSASTForPretraining
from .messages import say


try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# Numbers kept per token, layer and unit of width until the way back. Measured: 25 (nano) to 27 (tiny) in float32.
KEPT = 27
# Of what is free, what may be planned with.
USABLE = 0.9
CGROUP = Path("/sys/fs/cgroup")


@contextmanager
def told_what_fits(trainer):
    """
    Where a run gets no memory, a MemoryError that says what to lower takes the place of PyTorch's error. A processor
    may end a run without any; so a step that is likely to take more than is free is told before.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    need = Need(trainer.args, model.config, num_parameters, isinstance(model, SSASTForPretraining))
    free = free_memory(trainer.args.device)
    if free is not None and need.total() > free:
        say(f"This may run out of memory. {need.advice(free)}")
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(f"Out of memory. {need.advice(free)}") from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether PyTorch or NumPy say that they get no memory; on a processor PyTorch has no type of its own for that."""
    words = ("out of memory", "allocate memory", "Unable to allocate")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(word in str(error) for word in words)


class Need:
    """
    What a training step takes, roughly, besides a model that is loaded already.

    Args:
        arguments (`TrainingArguments`): Those of the run.
        config ([`SSASTConfig`]): The model's.
        num_parameters (`int`): How many numbers the model has.
        is_pretraining (`bool`): Whether a decoder, if there is one, spares the encoder what is masked.
    """

    def __init__(self, arguments, config: SSASTConfig, num_parameters: int, is_pretraining: bool):
        self.arguments, self.config, self.is_pretraining = arguments, config, is_pretraining
        self.fixed = 12 * num_parameters  # gradients and Adam's two averages, in float32
        self.batch_size = arguments.per_device_train_batch_size

    def total(self) -> int:
        """Bytes of one step."""
        return self.fixed + self.batch_size * self.per_clip()

    def per_clip(self) -> int:
        """Bytes that one clip adds: what all layers keep for the way back."""
        config, decoder = self.config, self.config.decoder_num_hidden_layers * self.is_pretraining
        num_tokens = config.num_patches - config.num_masked_patches * bool(decoder)
        # With checkpoints a layer keeps its input alone, and one layer at a time is computed again.
        kept = config.num_hidden_layers * KEPT
        if self.arguments.gradient_checkpointing:
            kept = config.num_hidden_layers + KEPT
        numbers = kept * num_tokens * config.hidden_size + KEPT * decoder * config.num_patches * config.decoder_width
        # Under autocast norms, sums and losses stay in float32.
        return numbers * (3 if self.arguments.bf16 or self.arguments.fp16 else 4)

    def advice(self, free: int | None) -> str:
        """What would fit into so many bytes: the largest batch with as many clips per step, or else other options."""
        size, config = self.batch_size, self.config
        text = f"A step of {size} clip{'s' * (size > 1)} takes about {gigabytes(self.total())}"
        largest = size // 2
        if free is not None:
            text += f"; {gigabytes(free)} were free"
            largest = min(largest, int((USABLE * free - self.fixed) // self.per_clip()))
        if fitting := max((each for each in range(1, largest + 1) if size % each == 0), default=0):
            pieces = self.arguments.gradient_accumulation_steps * size // fitting
            total = gigabytes(self.fixed + fitting * self.per_clip())
            text = (
                f"{text}. With --per_device_train_batch_size {fitting} --gradient_accumulation_steps {pieces}, which "
                f"makes the same steps, it takes about {total}."
            )
            return text + (f" Less memory, too: {' or '.join(sparing)}." if (sparing := self.sparing()) else "")
        options = ["--per_device_train_batch_size 1"] if size > 1 else []
        options += [*self.sparing(), f"--max_length {max(config.max_length // 2, config.patch_shape[1])}"]
        return f"{text}. Pass {' and '.join(options)}, or take a smaller model."

    def sparing(self) -> list[str]:
        """Options that take less memory for each clip, and that the run has not."""
        options = [] if self.arguments.gradient_checkpointing else ["--gradient_checkpointing True"]
        has_none = self.is_pretraining and not self.config.decoder_num_hidden_layers
        return options + (["--decoder_num_hidden_layers 2"] if has_none else [])


def gigabytes(count: float) -> str:
    return f"{count / 1e9:.2g} GB" if count < 1e10 else f"{count / 1e9:.0f} GB"


def free_memory(device: torch.device) -> int | None:
    """Bytes that this process can still get on a device; `None` if nobody knows."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type != "cpu":
        return None
    free = []
    if (path := Path("/proc/meminfo")).exists():
        lines = dict(line.split(":", 1) for line in path.read_text().splitlines())
        free += [int(lines["MemAvailable"].split()[0]) * 1024] if "MemAvailable" in lines else []
    used, limit = (CGROUP / name for name in ("memory.current", "memory.max"))  # of a container
    if limit.exists() and used.exists() and limit.read_text().strip().isdigit():
        free.append(int(limit.read_text()) - int(used.read_text()))
    if resource is not None and (size := Path("/proc/self/statm")).exists():
        largest, _ = resource.getrlimit(resource.RLIMIT_AS)  # `ulimit -v`
        if largest != resource.RLIM_INFINITY:
            free.append(largest - int(size.read_text().split()[0]) * resource.getpagesize())
    return max(min(free), 0) if free else None
