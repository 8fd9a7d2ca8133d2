"""
One training step of `SSASTTrainer` for each of several models, alone or as one of several processes.

    torchrun --standalone --nproc_per_node 2 tests/distributed_step.py MODEL_DIR RESULT.pt BATCH_SIZE ACCUMULATION

Clips have different lengths, and masks depend on the clip alone, so that any division of the batch must give the same
gradient.
"""

import sys
import tempfile
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import TrainingArguments

from ssast_hf import SSASTForPretraining
from ssast_hf.audio.bad_files import BadFiles
from ssast_hf.training.trainer import SSASTTrainer


CASES = {
    "joint": {"objective": "joint"},
    "discriminative": {"objective": "discriminative"},
    "generative": {"objective": "generative"},
    "visible patches only": {"decoder_num_hidden_layers": 1},
}


class ByContent(SSASTForPretraining):
    """Masks the patches with the largest first pixels."""

    def draw_mask(self, input_values, attention_mask=None, generator=None):
        self.drawn.append(super().draw_mask(input_values, attention_mask, generator))
        valid = self.base_model.valid_patches(input_values, attention_mask)
        score = self.patchify(input_values)[:, :, 0].masked_fill(~valid, -torch.inf)
        rank = score.argsort(dim=1, descending=True).argsort(dim=1)
        return rank < self.count_masked(valid)[:, None]


class Clips(torch.utils.data.Dataset):
    """Eight clips of 64 frames, of which 64, 56, ... 8 are audio."""

    features = torch.randn(8, 64, 32, generator=torch.Generator().manual_seed(1))

    def __len__(self):
        return len(self.features)

    def __getitem__(self, item):
        index = item[1] if isinstance(item, tuple) else item
        is_audio = torch.arange(64) < 64 - 8 * index
        return {"input_values": self.features[index], "attention_mask": is_audio.long()}


def main():
    model_dir, result, batch_size, accumulation = sys.argv[1:]
    saved = {}
    for case, fields in CASES.items():
        outcome = make_step(model_dir, fields, int(batch_size), int(accumulation))
        saved[case] = outcome
    if PartialState().is_main_process:
        torch.save(saved, Path(result))


def make_step(model_dir, fields: dict, batch_size: int, accumulation: int) -> dict:
    torch.manual_seed(0)
    model = ByContent.from_pretrained(model_dir, **fields)
    model.drawn = []
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            scratch,
            max_steps=1,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
            learning_rate=1.0,
            optim="sgd",
            lr_scheduler_type="constant",
            max_grad_norm=0.0,
            save_strategy="no",
            report_to=[],
            ddp_find_unused_parameters=False,
            remove_unused_columns=False,
            logging_steps=1,
            use_cpu=True,
        )
        trainer = SSASTTrainer(model, arguments, train_dataset=Clips(), bad_files=BadFiles(scratch, 1.0))
        trainer.train()
    # With plain gradient descent at rate 1 the step is the gradient.
    gradient = {name: before[name] - parameter.detach() for name, parameter in model.named_parameters()}
    drawn = trainer.accelerator.gather(model.drawn[0])
    # An odd number of clips, so that two processes do not have equally many.
    validation = trainer.evaluate(torch.utils.data.Subset(Clips(), range(7)))
    return {"gradient": gradient, "drawn": drawn, "logged": trainer.state.log_history[0] | validation}


if __name__ == "__main__":
    main()
