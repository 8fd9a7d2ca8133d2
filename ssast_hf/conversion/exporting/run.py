"""A saved model into a folder for onnxruntime, top to bottom."""

import copy
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import torch

from ...assets import FOLDER
from ...feature_extraction_ssast import SSASTFeatureExtractor
from ...heads_ssast import (
    SSASTForAudioClassification,
    SSASTForAudioFrameClassification,
    SSASTForCTC,
    SSASTHeadModel,
)
from ...modeling_ssast import SSASTForPretraining, SSASTPreTrainedModel
from ...storage.guards import reading
from ...storage.reading import find_file, read_json, weight_shapes
from ...storage.sizes import check_model_folder
from ...storage.writing import check_output, is_model_file, resolved, written_whole
from ..folders import ConversionError, read_feature_extractor
from ..kinds import kind_of
from .check import compare, compare_clips, compare_program, comparing
from .filter_banks import FilterBanks
from .graph import FeatureGraph, Graph, exported
from .numbers import preprocessing_of
from .report import Report
from .writing import OLDEST_OPSET, check_versions, write_features, write_onnx


WRITTEN = (
    "model.onnx", "model.onnx.data", "model.pt2", "features.onnx", "infer.py", "labels.json", "preprocessor.json",
    "report.md", "metrics.json",
)  # fmt: skip
# Between words in vocabularies of Wav2Vec2CTCTokenizer, unless its configuration has another one.
WORD_DELIMITER = "|"


def export_onnx(
    model_dir,
    output_dir,
    attention_mask: bool = False,
    waveform_input: bool = False,
    dtype: str = "float32",
    opset: int = OLDEST_OPSET,
    pt2: bool = False,
    overwrite: bool = False,
) -> list[str]:
    """
    Write a saved model as `model.onnx`, for any number of clips of any length, and compare it with PyTorch before
    anything is kept.

    Inputs are `input_values` (batch, frames, mels), or `waveform` (batch, samples); on request `attention_mask`, of
    the same length, int64; and for a pretraining model `bool_masked_pos` (batch, patches). Outputs have their names
    in PyTorch and are float32. Beside it lie `preprocessor.json` and `labels.json`; `infer.py`, which needs no
    PyTorch; `features.onnx`, from waveforms to spectrograms, if these are the input; and `report.md` and
    `metrics.json`.

    Args:
        model_dir (`str` or `Path`): A folder of any class of this package.
        output_dir (`str` or `Path`): The folder to write.
        attention_mask (`bool`, defaults to `False`): Whether padding can be told from audio. What the filter banks
            pad as in training, of a model that was trained without a mask, counts as audio, as it did there.
        waveform_input (`bool`, defaults to `False`): Whether the graph computes the filter banks. Those of a model
            with a head are padded and cut as its feature extractor does; of an encoder, they are of any length.
        dtype (`str`, defaults to `"float32"`): Or `"float16"`; or `"int8"`, linear layers that onnxruntime quantises,
            and their inputs as they come.
        opset (`int`, defaults to 18): The version of ONNX's operators.
        pt2 (`bool`, defaults to `False`): Whether `model.pt2` is written, for `torch.export.load`. Not with `"int8"`.
        overwrite (`bool`, defaults to `False`): Whether the files of an earlier export are replaced.

    Returns:
        `list[str]`: Sizes, differences and times.

    Raises:
        ConversionError: If the model cannot be exported or run, if outputs in float32 differ from PyTorch's by more
            than 1e-4 (with filter banks in the graph by more than 1e-2 on clips), if they are not finite, if the best
            label of a bundled clip is another one for more than rounding, or if a package is too old.
        ImportError: If onnx, onnxscript, onnxruntime or soundfile is missing.
        OSError: If there is no such model, or `output_dir` cannot be written, exists, or holds a model.
    """
    check_versions(opset)
    if dtype not in ("float32", "float16", "int8"):
        raise ConversionError(f"dtype must be float32, float16 or int8; got {dtype!r}.")
    if pt2 and dtype == "int8":
        raise ConversionError("int8 is made by onnxruntime for itself: model.pt2 is float32 or float16.")
    check_output(output_dir, overwrite, source=model_dir)
    check_no_model(output_dir)
    model, extractor = load(model_dir)
    has_head = isinstance(model, SSASTHeadModel)
    numbers = preprocessing_of(extractor, model.config, has_head)
    graph = Graph(model, FilterBanks(numbers) if waveform_input else None, attention_mask).eval()
    written = graph
    if dtype == "float16":  # but for the filter banks
        written = Graph(copy.deepcopy(model).half(), graph.filter_banks, attention_mask).eval()
    with written_whole(output_dir, also_replaced=WRITTEN) as folder:
        folder.mkdir()
        program = exported(written)
        write_onnx(program, written, folder / "model.onnx", opset, quantise=dtype == "int8")
        if pt2:
            torch.export.save(program, folder / "model.pt2")
        del program, written  # their memory
        takes_recordings = not isinstance(model, SSASTForPretraining)  # which asks for a mask, too
        graphs = ["model.onnx"]
        if takes_recordings or waveform_input:
            write_features(FeatureGraph(FilterBanks(numbers)), folder / "features.onnx", opset)
        if takes_recordings and not waveform_input:
            graphs.insert(0, "features.onnx")
        fields = asdict(numbers) | {"graphs": graphs} | how_to_read(model)
        (folder / "preprocessor.json").write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
        labels = labels_of(model_dir, model)
        (folder / "labels.json").write_text(json.dumps(labels, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if takes_recordings:
            shutil.copyfile(FOLDER / "onnx" / "infer.py", folder / "infer.py")
        report = Report(type(model).__name__, dtype, opset, folder, waveform_input)
        with comparing():
            compare(graph, folder / "model.onnx", report)
            compare_clips(graph, extractor, numbers, folder, report)
            if pt2:
                compare_program(graph, folder / "model.pt2", report)
        if waveform_input:  # it was to be compared alone
            (folder / "features.onnx").unlink()
        report.refuse()
        report.write()
        return report.lines()


def check_no_model(output_dir):
    """FileExistsError if the folder holds a model, which an export beside it would not be part of."""
    folder = resolved(output_dir)
    names = [path.name for path in folder.iterdir() if is_model_file(path.name)] if folder.is_dir() else []
    if names:
        raise FileExistsError(f"{folder} holds a model ({min(names)}), which is not replaced. Choose another folder.")


def load(model_dir) -> tuple[SSASTPreTrainedModel, SSASTFeatureExtractor]:
    """The model in a folder, in float32 and with attention written out, and its feature extractor."""
    check_model_folder(model_dir)
    model_class = kind_of(weight_shapes(model_dir))
    with reading(model_dir, "an SSAST model", "Copy or download the model again."):
        model, info = model_class.from_pretrained(
            model_dir,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    if missing := sorted(key for key in info["missing_keys"] if not key.endswith("embeddings.mask_token")):
        raise ConversionError(f"{model_dir} lacks weights, such as {missing[0]}. Copy or download the model again.")
    extractor = read_feature_extractor(model_dir, SSASTFeatureExtractor)
    if extractor is None:
        raise ConversionError(
            f"{model_dir} has no preprocessor_config.json, which says what the model takes. Copy it."
        )
    if extractor.num_mel_bins != model.config.num_mel_bins:
        raise ConversionError(
            f"{model_dir}: preprocessor_config.json has num_mel_bins={extractor.num_mel_bins}, config.json "
            f"{model.config.num_mel_bins}. Correct one of them."
        )
    return model.eval().requires_grad_(False), extractor


def how_to_read(model: SSASTPreTrainedModel) -> dict:
    """What the scores of a classifier, of clips or of time steps, mean; `None` of others."""
    is_of_steps = isinstance(model, SSASTForAudioFrameClassification)
    is_classifier = is_of_steps or isinstance(model, SSASTForAudioClassification)
    return {
        "problem_type": model.config.problem_type if is_classifier else None,
        "event_threshold": model.config.event_threshold if is_of_steps else None,
    }


def labels_of(model_dir, model: SSASTPreTrainedModel) -> list[str]:
    """
    What the outputs of a head stand for, in their order; none of other models. Of a model for text they are what is
    written: characters, a space between words, and nothing for the blank.
    """
    config = model.config
    if isinstance(model, SSASTForCTC):
        if find_file(model_dir, "vocab.json") is None:
            return ["" if number == model.blank else f"{number} " for number in range(config.vocab_size)]
        characters = {
            number: text for text, number in read_json(Path(model_dir, "vocab.json"), "a vocabulary").items()
        }
        characters |= {model.blank: ""}
        texts = [str(characters.get(number, number)) for number in range(config.vocab_size)]
        delimiter: str | None = WORD_DELIMITER
        if find_file(model_dir, "tokenizer_config.json") is not None:
            fields = read_json(Path(model_dir, "tokenizer_config.json"), "a tokenizer's configuration")
            delimiter = fields.get("word_delimiter_token", delimiter)
            if isinstance(delimiter, dict):  # with how it is to be stripped
                delimiter = delimiter.get("content")
        return [" " if text == delimiter else text for text in texts]
    if isinstance(model, SSASTHeadModel):
        return [str(config.id2label.get(number, number)) for number in range(config.num_labels)]
    return []
