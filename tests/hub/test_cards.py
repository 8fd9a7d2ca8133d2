"""Model cards: those in `model_cards/`, and what a person wrote."""

import re
from pathlib import Path

import pytest
import yaml
from fresh import FreshProcess
from huggingface_hub import HfApi, ModelCard, ModelCardData

from ssast_hf import SSASTFeatureExtractor, SSASTForAudioClassification
from ssast_hf.checkpoints.records import released_checkpoints
from ssast_hf.hub.cards import BENCHMARKS, DATASETS, record_card, render_card, render_released, repository_name
from ssast_hf.hub.readme import (
    FORM_DESCRIPTION,
    check_metadata,
    combine,
    is_untouched,
    merge_metadata,
    read_card,
    split,
    write_card,
)
from ssast_hf.hub.staging import stage_repository
from ssast_hf.hub.upload import upload


CARDS = Path(__file__).parents[2] / "model_cards"
RECORDS = released_checkpoints()


def test_cards_are_up_to_date(tmp_path):
    rendered = {path.name: path.read_text() for path in render_released(tmp_path)}
    committed = {path.name: path.read_text() for path in CARDS.glob("ssast-*.md")}
    assert rendered.keys() == committed.keys()
    for name, card in rendered.items():
        assert card == committed[name], f"{name} is out of date: make cards"
    assert (CARDS / "template.md").read_text().startswith("---\n{{ card_data }}\n---\n")


@pytest.mark.parametrize("name", RECORDS)
def test_metadata_are_complete_and_figures_have_a_source(name):
    record, path = RECORDS[name], CARDS / f"{repository_name(name)}.md"
    check_metadata(path.read_text(), path.name)
    card = ModelCard.load(path)
    assert card.data.license == "bsd-3-clause"
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "feature-extraction"
    assert set(card.data.datasets) == {DATASETS[dataset][0] for dataset in record["pretraining_data"]}
    results = {result.metric_value: result for result in card.data.eval_results or []}
    single = {value for key, value in record["published"].items() if len(BENCHMARKS[key]) > 1}
    assert results.keys() == single
    assert all(result.source_name and result.source_url for result in results.values())
    for key, value in record["published"].items():
        assert f"| {BENCHMARKS[key][0]} | {value} |" in card.text
    for heading in ("Embed", "Continue pretraining", "Fine-tune", "Training data", "Limits and bias", "Licence"):
        assert re.search(f"^##+ {heading}", card.text, flags=re.MULTILINE), heading
    assert "gong2022ssast" in card.text
    assert "gong2021ast" in card.text
    assert "https://github.com/YuanGongND/ssast" in card.text
    assert "{{" not in card.text


def test_code_in_cards_compiles(config):
    config.architectures = ["SSASTForAudioClassification"]
    for card in (record_card(RECORDS["SSAST-Tiny-Patch-400"]), render_card(config, "org/classifier", license="mit")):
        blocks = re.findall(r"^```python\n(.*?)^```", card, flags=re.MULTILINE | re.DOTALL)
        assert len(blocks) >= 3
        for block in blocks:
            compile(block, "card", "exec")


def test_code_in_the_card_of_a_classifier_runs_for_strangers(config, hub, tmp_path, run_without_package):
    config.id2label = {0: "tern", 1: "gull", 2: "plover"}
    SSASTForAudioClassification(config).save_pretrained(tmp_path / "model")
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path / "model")
    stage_repository(tmp_path / "model", tmp_path / "staged", "org/birds", license="mit")
    upload(HfApi(endpoint=hub.url, token="hf_owner"), tmp_path / "staged", "org/birds", False, False, None, "birds")
    card = hub.files("org/birds")["README.md"].decode()
    blocks = re.findall(r"^```python\n(.*?)^```", card, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3  # classify, embed, fine-tune
    printed = run_without_package("\n".join(blocks), HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")
    assert all(name in printed for name in ("tern", "gull", "plover"))
    assert printed.endswith("torch.Size([1, 32])\ntorch.Size([1, 34, 32])\n")


def test_the_widget_finds_its_example(config, tmp_path):
    SSASTForAudioClassification(config).save_pretrained(tmp_path / "model")
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path / "model")
    stage_repository(tmp_path / "model", tmp_path / "staged", "org/birds", license="mit")
    card = (tmp_path / "staged" / "README.md").read_text()
    (widget,) = yaml.safe_load(card.split("---")[1])["widget"]
    root, _, name = widget["src"].partition("/resolve/main/")
    assert root == "https://huggingface.co/org/birds"
    assert (tmp_path / "staged" / name).stat().st_size > 0


def test_model_on_the_hub_embeds_as_its_folder(model, hub, tmp_path):
    model.save_pretrained(tmp_path / "model")
    SSASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(tmp_path / "model")
    stage_repository(tmp_path / "model", tmp_path / "staged", "org/ssast", license="mit")
    upload(HfApi(endpoint=hub.url, token="hf_owner"), tmp_path / "staged", "org/ssast", False, False, None, "ssast")
    code = """
import sys
import numpy as np
from pyarrow import parquet
from ssast_hf import Embedder
from ssast_hf.assets import bundled_clips
from ssast_hf.cli import main
clips, folder = bundled_clips(), sys.argv[1]
expected = Embedder(folder)(clips)
np.testing.assert_array_equal(Embedder("org/ssast")(clips), expected)
for model in ("org/ssast", folder):  # the second finds the parts of the first, which are of the same files
    assert main(["embed", str(clips[0].parent), "--model", model, "--output", "parts", "--num_workers", "0"]) == 0
assert len(parquet.read_table("parts")) == len(clips)
"""
    environment = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf_home")}
    FreshProcess(code, [tmp_path / "staged"], tmp_path, has_package=True, **environment).finish()


def test_classifier_card_names_its_classes(config):
    config.architectures, config.id2label = ["SSASTForAudioClassification"], {0: "tern", 1: "gull"}
    card = render_card(config, "org/birds", license="mit", base_model="org/ssast", datasets=["org/calls"])
    assert "2: tern, gull" in card
    assert "Continue pretraining" not in card
    metadata = yaml.safe_load(card.split("---")[1])
    assert (metadata["pipeline_tag"], metadata["base_model"]) == ("audio-classification", "org/ssast")
    assert metadata["datasets"] == ["org/calls"]
    assert "model-index" not in metadata


def test_card_of_an_encoder_promises_no_heads(config):
    config.architectures = ["SSASTModel"]
    card = render_card(config, "org/encoder", license="mit")
    assert "Continue pretraining" not in card
    assert "masked" not in card.split("## The model")[1].split("##")[0]


def test_measured_is_only_what_was_converted():
    record = RECORDS["SSAST-Tiny-Patch-400"]
    assert "**Not measured**" in record_card(record)
    assert f"whose SHA-256 is\n`{'ab' * 32}`" in record_card(record, sha256="ab" * 32)


def test_any_edit_makes_a_card_a_persons(config):
    card = render_card(config, "org/ssast", license="mit")
    assert is_untouched(card)
    form = str(ModelCard.from_template(ModelCardData(library_name="transformers"), model_description=FORM_DESCRIPTION))
    assert is_untouched(form)
    for edited in (
        card.replace("org/ssast", "org/other"),
        card.replace("mit", "apache-2.0"),
        card + "More.\n",
        "",
        form.replace("library_name: transformers", "library_name: transformers\nlicense: mit"),
        "# Mine\n" + form,
        form + "\nMine.\n",
    ):
        assert not is_untouched(edited)


def test_untouched_cards_are_replaced_and_others_completed(config, tmp_path):
    path = tmp_path / "README.md"
    write_card(path, render_card(config, "org/ssast", license="mit"))
    write_card(path, render_card(config, "org/ssast", license="apache-2.0"))
    assert split(read_card(path), "")[0]["license"] == "apache-2.0"
    text = "# No metadata\r\n\r\nWindows lines.\r\n"
    path.write_bytes(text.encode())
    write_card(path, render_card(config, "org/ssast", license="mit"))
    assert path.read_bytes().decode().endswith("---\r\n" + text)
    assert split(read_card(path), "")[0]["license"] == "mit"
    before = path.read_bytes()
    write_card(path, render_card(config, "org/ssast", license="apache-2.0"))
    assert path.read_bytes() == before


def test_metadata_that_need_nothing_stay_byte_for_byte(config):
    card = render_card(config, "org/ssast", license="mit")
    edited = card.replace("license: mit", "license:   mit  # as agreed").replace("# ssast", "# mine")
    assert combine(edited, card, "README.md") == edited


@pytest.mark.parametrize(
    ("existing", "message"),
    [
        ("---\nlicense: [\n---\n", "at the head of README.md cannot be read"),
        ("---\ntags: 5\n---\n", "tags in the metadata of README.md is 5, expected a list"),
        ("---\nlicense: mit\n---\n", "README.md states the license mit, expected apache-2.0"),
    ],
)
def test_metadata_that_cannot_be_completed_are_refused(existing, message, config):
    card = render_card(config, "org/ssast", license="apache-2.0")
    with pytest.raises(ValueError, match=re.escape(message)):
        combine(existing, card, "README.md", license="apache-2.0")


def test_merged_metadata_keep_what_is_there():
    theirs = {"license": "mit", "datasets": "org/a", "tags": ["birds"], "language": "en", "pipeline_tag": None}
    ours = {"license": "apache-2.0", "datasets": ["org/a", "org/b"], "tags": ["audio", "birds"], "pipeline_tag": "x"}
    assert merge_metadata(theirs, ours, "README.md") == {
        "license": "mit",
        "datasets": ["org/a", "org/b"],
        "tags": ["birds", "audio"],
        "language": "en",
        "pipeline_tag": "x",
    }


@pytest.mark.parametrize("wrong", ["license: mit\n", "license: mit\nlibrary_name: a\npipeline_tag: b\ntags: []\n"])
def test_incomplete_metadata_are_refused(wrong):
    with pytest.raises(ValueError, match=r"model card has no (library_name|tags)"):
        check_metadata(f"---\n{wrong}---\n", "README.md")
