"""
Which of transformers' common tests SSAST fails, and why: the whole list. (What these tests are told of a model, such
as that its embeddings cannot be resized, stands with the test classes.)

What is listed has to fail in the versions given, so that a difference that disappears is noticed. Anything else that
fails is an error.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """`models` and `test` are names of classes and of tests, with `*` for anything; `versions` as for pip."""

    models: str
    test: str
    reason: str
    versions: str = ""


EXPECTED = [
    Difference(
        "*Tests",
        "test_model_get_set_embeddings",
        "What comes in is projected, by no nn.Embedding. Stock AST's tests replace this one, too.",
    ),
    *(
        Difference(
            models,
            "test_model_outputs_equivalence",
            "The test subtracts outputs from each other, and one of them is boolean: `bool_masked_pos`.",
        )
        for models in ("GivenMaskTests", "FrameTests", "VisibleOnlyTests")
    ),
    Difference(
        "DrawnMaskTests",
        "test_model_outputs_equivalence",
        "Two passes draw two masks. Those of one seed are equal, but the test compares passes one after the other.",
    ),
    Difference(
        "DrawnMaskTests",
        "test_batching_equivalence",
        "Random numbers are drawn for a batch as a whole, so the mask of a clip depends on the size of the batch.",
    ),
    Difference(
        "SSASTForAudioClassificationTests",
        "test_training_gradient_checkpointing*",
        "The test unfreezes everything. A classifier masks nothing, so no gradient reaches the mask token.",
        versions="<5.20",
    ),
]
