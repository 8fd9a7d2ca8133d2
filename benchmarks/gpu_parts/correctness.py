"""
What has to be right on a device before its speed is of interest: each check yields what was measured, as a number that
may not be above a bound, in float32 without TF32 unless it says otherwise.
"""

import sys
import tempfile
from contextlib import contextmanager
from functools import partial

import torch
import torch._dynamo.utils
import torch._inductor.config
from recorded import GRADIENTS, Reference

from ssast_hf import SSASTConfig, SSASTFeatureExtractor, SSASTForPretraining
from ssast_hf.assets import bundled_clips
from ssast_hf.audio.decoding import load_audio
from ssast_hf.modeling_ssast import create_bidirectional_mask

from .resuming import check_resuming
from .setting import NotRun, Setting, without_tf32


GOLDENS = ("tiny-patch", "tiny-frame", "tiny-32x8-608", "tiny-patch-1998", "small-frame-608")
# On a CPU the tests hold a tenth of these; a device adds up in another order.
TOKENS, LOSSES, NORMS, FEATURES = 1e-4, 1e-4, 1e-3, 1e-4
# bfloat16 has three digits.
BF16_LOSS, BF16_GRADIENT = 0.02, 0.1
BATCHES = 20
# Seconds of what comes afterwards.
RESERVE = 240.0


def check_all(setting: Setting) -> list[dict]:
    """A row for everything that was checked; what fails does not keep the others from being checked."""
    rows = []
    for name, check in CHECKS.items():
        print(name, file=sys.stderr)
        try:
            if not setting.has_time(RESERVE):
                raise NotRun("no time was left")
            with without_tf32():
                for what, measured, bound in check(setting):
                    result = "ok" if measured <= bound else "FAILED"  # NaN fails
                    rows.append(row(f"{name}: {what}", measured, bound, result))
        except NotRun as reason:
            rows.append(row(name, None, None, f"not run: {reason}"))
        except Exception as error:  # whatever it is, it is a finding
            lines = str(error).strip().splitlines() or [""]
            rows.append(row(name, None, None, f"FAILED: {type(error).__name__}: {lines[0][:200]}"))
    return rows


def row(check: str, measured, bound, result: str) -> dict:
    return {"check": check, "measured": measured, "bound": bound, "result": result}


def goldens(setting: Setting):
    """The numbers that the original code computed."""
    for name in ("tiny-32x8-608",) if setting.is_quick else GOLDENS:
        reference = Reference(name)
        model, numbers = reference.model().to(setting.device), reference.numbers
        inputs = reference.input_values(1).to(setting.device)
        with torch.no_grad():
            tokens = model.base_model(inputs).last_hidden_state[:, :6].cpu()
        recorded = torch.from_numpy(numbers["encoder_last_hidden_state_first_tokens"])
        yield f"{name}, tokens", largest(tokens - recorded), TOKENS
        for task, loss in (("mpc", "discriminative_loss"), ("mpg", "generative_loss")):
            model.zero_grad()
            mask = reference.mask(numbers[f"{task}_mask_indices"]).to(setting.device)
            outputs = model(inputs, bool_masked_pos=mask)
            outputs[loss].backward()
            yield f"{name}, {loss}", relative(outputs[loss].item(), numbers[f"{task}_loss"].item()), LOSSES
            norms = [
                relative(model.get_parameter(ours).grad.norm().item(), norm)
                for theirs, ours in GRADIENTS.items()
                if (norm := numbers[f"{task}_gradnorm/{theirs}"].item())
            ]
            yield f"{name}, gradients of it", max(norms), NORMS
            if setting.is_quick:
                return


def features(setting: Setting):
    """Many clips together on the device, against clip by clip on the CPU."""
    extractor = SSASTFeatureExtractor()
    clips = [torch.from_numpy(load_audio(path)) for path in bundled_clips()[: 2 if setting.is_quick else None]]
    expected = extractor(clips, sampling_rate=16000, return_tensors="pt")["input_values"]
    if setting.is_cuda:
        found = extractor(clips, sampling_rate=16000, return_tensors="pt", device=setting.device)["input_values"]
        yield "of a call", largest(found.cpu() - expected), FEATURES
    lengths = torch.tensor([len(clip) for clip in clips])
    waveforms = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    found = extractor.extract(waveforms.to(setting.device), lengths.to(setting.device))
    yield "of a batch of waveforms", largest(found.cpu() - expected), FEATURES


def bfloat16(setting: Setting):
    model, inputs, mask = small_case(setting)
    loss, gradient = loss_and_gradient(model, inputs, mask)
    with torch.autocast(setting.device, torch.bfloat16):
        rounded, other = loss_and_gradient(model, inputs, mask)
    yield "loss, relative to float32", relative(rounded, loss), BF16_LOSS
    yield "gradients", differ(gradient, other), BF16_GRADIENT


def attention(setting: Setting, implementation: str):
    """One implementation against the one that is written out, with and without padding."""
    model, inputs, mask = small_case(setting)
    is_flash = implementation == "flash_attention_2"  # there is none of float32
    dtype, bound = (torch.bfloat16, BF16_GRADIENT) if is_flash else (torch.float32, NORMS)
    has_masks = implementation != "flex_attention" or create_bidirectional_mask is not None
    for kind, attended in (("all", None), ("padded", padding_of(inputs, seed=0)))[: 1 + has_masks]:
        found = []
        for each in ("eager", implementation):
            try:
                model.set_attn_implementation(each)
            except ImportError as error:
                raise NotRun("it is a package of its own, which is not installed") from error
            with not_compiled(setting), torch.autocast(setting.device, dtype, enabled=is_flash):
                with torch.no_grad():
                    predictions = model(inputs, attended, mask).reconstruction.float()
                has_gradient = setting.is_cuda or implementation != "flex_attention"
                gradient = loss_and_gradient(model, inputs, mask, attended)[1] if has_gradient else None
            found.append((predictions, gradient))
        (predictions, gradient), (others, other) = found
        yield f"predictions, {kind}", differ(predictions, others), bound
        if gradient is not None and other is not None:
            yield f"gradients, {kind}", differ(gradient, other), bound


@contextmanager
def not_compiled(setting: Setting):
    """On a CPU transformers would compile flex attention, which takes longer than all else."""
    with torch.compiler.set_stance("default" if setting.is_cuda else "force_eager"):
        yield


def compilation(setting: Setting):
    """One graph for whatever is padded, with the losses of the model as it is; also as CUDA graphs."""
    for mode in ("default", "reduce-overhead") if setting.is_cuda else (None,):
        for decoder in (0,) if setting.is_quick else (0, 2):
            model, inputs, _ = small_case(setting, num_hidden_layers=2, decoder_num_hidden_layers=decoder)
            torch.compiler.reset()
            torch._dynamo.utils.counters.clear()
            options = {"mode": mode} if setting.is_cuda else {"backend": "aot_eager"}
            compiled = torch.compile(model, fullgraph=True, **options)
            errors = []
            with torch._inductor.config.patch(fallback_random=True):  # the same masks from the same seed
                for seed in range(3 if setting.is_quick else BATCHES):
                    attended, losses = padding_of(inputs, seed), []
                    for each in (compiled, model):
                        torch.manual_seed(seed)
                        loss = each(inputs, attended).loss
                        loss.backward()
                        losses.append(loss.item())
                        model.zero_grad()
                    errors.append(relative(*losses))
            name = f"{'visible only' if decoder else 'one pass'}, {mode or 'aot_eager'}"
            yield f"{name}, losses", max(errors), LOSSES
            graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
            yield f"{name}, graphs for {len(errors)} batches", graphs, 1


def checkpointing(setting: Setting):
    model, inputs, mask = small_case(setting)
    _, gradient = loss_and_gradient(model, inputs, mask)
    model.gradient_checkpointing_enable()
    _, other = loss_and_gradient(model, inputs, mask)
    yield "gradients", differ(gradient, other), 1e-5


def masks(setting: Setting):
    """Drawn by a generator of the device: the same from the same seed, and as many patches as there should be."""
    model, inputs, _ = small_case(setting)
    drawn = [
        model.draw_mask(inputs, padding_of(inputs, 0), torch.Generator(setting.device).manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    counts = model.count_masked(model.base_model.valid_patches(inputs, padding_of(inputs, 0)))
    yield "that differ, of the same seed", (drawn[0] != drawn[1]).sum().item(), 0
    yield "that are equal, of different seeds", int(torch.equal(drawn[0], drawn[2])), 0
    yield "patches too many or too few", (drawn[0].sum(dim=1) - counts).abs().sum().item(), 0


def waiting(setting: Setting):
    """No step waits for the device, which PyTorch itself watches over."""
    if not setting.is_cuda:
        raise NotRun("PyTorch watches over CUDA alone; for others the tests look at each operation")
    steps = 0
    for objective in ("joint", "discriminative", "generative"):
        for strategy in ("cluster", "random", "original"):
            for decoder in (0, 1):
                fields = dict(objective=objective, mask_strategy=strategy, decoder_num_hidden_layers=decoder)
                model, _, _ = small_case(setting, num_hidden_layers=2, **fields)
                optimizer = torch.optim.Adam(model.parameters(), fused=True)
                extractor = SSASTFeatureExtractor(max_length=model.config.max_length)
                waveforms = torch.randn(4, extractor.num_samples(extractor.max_length), device=setting.device)
                lengths = torch.full((4,), waveforms.shape[1], device=setting.device)
                attended = padding_of(extractor.extract(waveforms, lengths), seed=0)
                for mode in ("default", "error"):  # once beforehand: tables are copied to the device
                    torch.cuda.set_sync_debug_mode(mode)
                    try:
                        for mask in (None, attended):
                            model(extractor.extract(waveforms, lengths), mask).loss.backward()
                            optimizer.step()
                            optimizer.zero_grad()
                            steps += mode == "error"
                    finally:
                        torch.cuda.set_sync_debug_mode("default")
    yield f"steps that did, of {steps}", 0, 0


def loading(setting: Setting):
    """A model saved on the device loads on the CPU."""
    model, inputs, mask = small_case(setting)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        loaded = SSASTForPretraining.from_pretrained(folder)
    pairs = zip(model.parameters(), loaded.parameters(), strict=True)
    yield "weights that differ", sum(not torch.equal(one.cpu(), other) for one, other in pairs), 0
    losses = [
        each(x, bool_masked_pos=m).loss.item()
        for each, x, m in ((model, inputs, mask), (loaded, inputs.cpu(), mask.cpu()))
    ]
    yield "loss there", relative(*losses), LOSSES


def small_case(setting: Setting, **fields) -> tuple:
    """A model with random weights, a batch of noise, (B, frames, 128), and a mask for it."""
    torch.manual_seed(0)
    size = dict(hidden_size=192, num_attention_heads=3, intermediate_size=768)
    if setting.is_quick:
        size = dict(hidden_size=32, num_attention_heads=2, intermediate_size=64, num_hidden_layers=2, max_length=128)
    model = SSASTForPretraining(SSASTConfig(**size | fields)).to(setting.device).train()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1)  # so that attention is not the same everywhere
    inputs = torch.randn(4, model.config.max_length, 128).to(setting.device)
    return model, inputs, model.draw_mask(inputs)


def padding_of(inputs: torch.Tensor, seed: int) -> torch.Tensor:
    """An attention mask (B, frames) of clips of random lengths."""
    frames = inputs.shape[1]
    lengths = torch.randint(16, frames + 1, (len(inputs), 1), generator=torch.Generator().manual_seed(seed))
    return (torch.arange(frames) < lengths).long().to(inputs.device)


def loss_and_gradient(model, inputs, mask, attention_mask=None) -> tuple[float, torch.Tensor]:
    """The loss, and the gradients of all parameters in one vector."""
    model.zero_grad()
    loss = model(inputs, attention_mask, mask).loss
    loss.backward()
    return loss.item(), torch.cat([each.grad.flatten() for each in model.parameters() if each.grad is not None])


def largest(difference: torch.Tensor) -> float:
    return difference.abs().max().item()


def differ(one: torch.Tensor, other: torch.Tensor) -> float:
    """How long the difference of two vectors is, relative to the first."""
    return ((one - other).norm() / one.norm()).item()


def relative(value: float, expected: float) -> float:
    return abs(value - expected) / abs(expected)


CHECKS = {
    "original code": goldens,
    "features": features,
    "bfloat16": bfloat16,
    "sdpa": partial(attention, implementation="sdpa"),
    "flex attention": partial(attention, implementation="flex_attention"),
    "flash attention": partial(attention, implementation="flash_attention_2"),
    "compiled": compilation,
    "checkpointing": checkpointing,
    "masks": masks,
    "waiting": waiting,
    "loading on the CPU": loading,
    "resuming": check_resuming,
}
