"""Recordings with labels, wherever they come from, and how wrong ones are told."""

import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow
import pytest
import soundfile
from pyarrow import parquet

from ssast_hf.audio.label_tables import LabelOptions
from ssast_hf.audio.labelled import load_labelled
from ssast_hf.audio.labels import in_order


LABELS = ["cow", "ant", "cow", "bee", "ant", "bee"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "audio" / f"{i}.wav" for i in range(len(LABELS))]
    paths[0].parent.mkdir()
    for i, path in enumerate(paths):
        soundfile.write(path, 0.1 * np.random.RandomState(i).randn(4000), 16000)
    return paths


def write_csv(path, header: str, files, labels) -> str:
    path.write_text("\n".join([header, *(f"{file.name},{label}" for file, label in zip(files, labels, strict=True))]))
    return str(path)


def make_source(kind: str, tmp_path, files) -> str:
    if kind == "folder":
        for file, label in zip(files, LABELS, strict=True):
            (tmp_path / "classes" / label).mkdir(parents=True, exist_ok=True)
            file.rename(tmp_path / "classes" / label / file.name)
        return str(tmp_path / "classes")
    if kind == "csv":
        return write_csv(tmp_path / "table.csv", "filename,category", files, LABELS)
    if kind == "jsonl":
        path = tmp_path / "table.jsonl"
        rows = [json.dumps({"file": str(f), "target": c}) for f, c in zip(files, LABELS, strict=True)]
        path.write_text("\n".join(rows))
        return str(path)
    audio = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    rows = {"audio": audio, "label": [["ant", "bee", "cow"].index(label) for label in LABELS]}
    table = datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio(decode=False))
    table = table.cast_column("label", datasets.ClassLabel(names=["ant", "bee", "cow"]))
    table.to_parquet(str(tmp_path / "table.parquet"))
    return str(tmp_path / "table.parquet")


def test_tables_of_classes_in_other_orders_are_refused(tmp_path, files):
    source = Path(make_source("parquet", tmp_path, files))
    table = datasets.Dataset.from_parquet(str(source), cache_dir=str(tmp_path / "cache"))
    source.rename(tmp_path / "a.parquet")
    table.cast_column("label", datasets.ClassLabel(names=["bee", "ant", "cow"])).to_parquet(
        str(tmp_path / "b.parquet")
    )
    with pytest.raises(ValueError, match=r"^\S+b\.parquet, column 'label' describes other classes than \S+a\.parquet"):
        load_labelled(str(tmp_path / "*.parquet"))


@pytest.mark.parametrize("kind", ["folder", "csv", "jsonl", "parquet"])
def test_every_kind_of_source_gives_the_same(kind, tmp_path, files):
    data = load_labelled(make_source(kind, tmp_path, files))
    assert data.names == ["ant", "bee", "cow"]
    assert sorted(data.labels) == sorted(LABELS)
    assert [data.names[i] for i in data.targets()] == data.labels
    some = data.select(np.array([1, 3]))
    assert some.labels == [data.labels[1], data.labels[3]]
    assert some.recordings[1]["name"] == data.recordings[3]["name"]
    assert some.name(1) == data.name(3)
    assert data.name(3).endswith("table.parquet, row 4 (3.wav)" if kind == "parquet" else ".wav")


def test_wrong_label_is_told_before_audio_is_copied(tmp_path, files, monkeypatch):
    source = make_source("parquet", tmp_path, files)
    monkeypatch.setattr("ssast_hf.audio.label_tables.load_tables", lambda *args: pytest.fail("copies"))
    (tmp_path / "names.csv").write_text("index,mid,display_name\n0,bat,Bat\n")
    with pytest.raises(ValueError, match=r"row 1: the label '.' is in no class of .*names\.csv"):
        load_labelled(source, LabelOptions(label_csv=tmp_path / "names.csv"))


def test_folder_with_the_originals_table_of_classes(tmp_path, files):
    source = make_source("folder", tmp_path, files)
    table = tmp_path / "names.csv"
    table.write_text("index,mid,display_name\n1,ant,Ant\n0,bee,Bee\n2,cow,Cow\n")
    data = load_labelled(source, LabelOptions(label_csv=table))
    assert (data.names, set(data.labels)) == (["Bee", "Ant", "Cow"], {"Bee", "Ant", "Cow"})
    table.write_text("index,mid,display_name\n1,ant,Ant\n0,bee,Bee\n")
    with pytest.raises(ValueError, match=r"the label 'cow' is in no class of .*names\.csv"):
        load_labelled(source, LabelOptions(label_csv=table))


def test_sub_folders_may_have_marks_in_their_names(tmp_path, files):
    for number, file in enumerate(files):
        (folder := tmp_path / "classes" / ("dog;cat" if number % 2 else "a, b")).mkdir(parents=True, exist_ok=True)
        file.rename(folder / file.name)
    assert load_labelled(str(tmp_path / "classes")).names == ["a, b", "dog;cat"]


def test_names_that_are_numbers_are_in_their_order(tmp_path, files):
    path = write_csv(tmp_path / "t.csv", "path,label", files, [10, 9, 2, 10, 9, 2])
    assert load_labelled(path).names == ["2", "9", "10"]


def test_groups_and_folds_and_numbers_and_text(tmp_path, files):
    rows = zip(files, [1, 1, 2, 2, 3, 3], strict=True)
    (tmp_path / "t.csv").write_text("path,text,fold,who\n" + "".join(f"{f.name},{n},{n},s{n}\n" for f, n in rows))
    options = dict(group_column="who", fold_column="fold")
    data = load_labelled(str(tmp_path / "t.csv"), LabelOptions("number", label_column="text", **options))
    assert (data.labels, data.names) == ([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], [])
    assert data.folds == ["1", "1", "2", "2", "3", "3"]
    assert data.groups[0] == "s1"
    assert load_labelled(str(tmp_path / "t.csv"), LabelOptions("text")).labels[2] == "2"
    (tmp_path / "t.csv").write_text("path,text\n0.wav,one\n1.wav,\n")
    with pytest.raises(ValueError, match="row 2: no label"):
        load_labelled(str(tmp_path / "t.csv"), LabelOptions("text"))


@pytest.mark.parametrize("separator", [";", "|", " , "])
def test_several_labels_by_a_separator(separator, tmp_path, files):
    labels = [separator.join(each) for each in (["a", "b"], ["b"], ["c", "a"], ["c"], ["b", "c"], ["a"])]
    rows = zip(files, labels, strict=True)
    (tmp_path / "t.tsv").write_text("path\tlabel\n" + "".join(f"{f.name}\t{label}\n" for f, label in rows))
    data = load_labelled(str(tmp_path / "t.tsv"), LabelOptions("classes"))
    assert data.targets().tolist()[:3] == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    with pytest.raises(ValueError, match=r"t.tsv, column 'label', row 1: 2 labels, 'a', 'b'.*multilabel"):
        load_labelled(str(tmp_path / "t.tsv"))


def test_names_may_have_commas(tmp_path, files):
    labels = ['"Speech, male"', '"Speech, male"', '"Music, slow"', '"Music, slow"', "Rain", "Rain"]
    path = write_csv(tmp_path / "t.csv", "path,label", files, labels)
    assert load_labelled(path).names == ["Music, slow", "Rain", "Speech, male"]


def test_several_labels_in_every_cell_are_no_names(tmp_path, files):
    labels = ['"dog,rain"', '"dog,sea"', '"sea,rain"'] * 2
    path = write_csv(tmp_path / "t.csv", "path,label", files, labels)
    with pytest.raises(ValueError, match=r"row 1: 2 labels, 'dog', 'rain', where one.*--label_separator none"):
        load_labelled(path)
    assert load_labelled(path, LabelOptions("speaker")).names == ["dog,rain", "dog,sea", "sea,rain"]
    assert load_labelled(path, LabelOptions("classes")).names == ["dog", "rain", "sea"]


def test_quotation_marks_in_tsv_may_be_of_the_text(tmp_path, files):
    (tmp_path / "t.tsv").write_text('path\ttext\n0.wav\t"Yes", he said\n1.wav\tNo\n2.wav\t"Why\n')
    assert load_labelled(str(tmp_path / "t.tsv"), LabelOptions("text")).labels == ['"Yes", he said', "No", '"Why']
    (tmp_path / "t.tsv").write_text('path\ttext\n0.wav\t"a\tb"\n1.wav\t"She said ""no"""\n')
    assert load_labelled(str(tmp_path / "t.tsv"), LabelOptions("text")).labels == ["a\tb", 'She said "no"']


def test_a_column_has_one_separator(tmp_path, files):
    labels = ['"Speech, male;Rain"', '"Speech, male"', "Rain", "Rain", '"Speech, male"', "Rain"]
    path = write_csv(tmp_path / "t.csv", "path,label", files, labels)
    data = load_labelled(path, LabelOptions("classes"))
    assert data.names == ["Rain", "Speech, male"]
    assert data.labels[1] == ["Speech, male"]


def test_numbers_that_are_equal_have_an_order():
    assert [in_order(set(names)) for names in (["1", "01", "0"], ["01", "0", "1"])] == [["0", "01", "1"]] * 2


def test_paths_in_parquet_are_relative_to_the_table_or_to_a_folder(tmp_path, files):
    (tmp_path / "tables [v1]").mkdir()
    for folder, options in ((tmp_path, {}), (tmp_path / "tables [v1]", {"audio_dir": tmp_path / "audio"})):
        parquet.write_table(
            pyarrow.table({"path": [file.name for file in files], "label": LABELS}), folder / "t.parquet"
        )
        data = load_labelled(str(folder / "t.parquet"), LabelOptions(**options))
        assert [data.recordings[i]["path"] for i in range(6)] == list(map(str, files))


def test_labels_in_parquet_are_read_by_no_threads_that_abort_a_command_which_ends(tmp_path, files, monkeypatch):
    parquet.write_table(pyarrow.table({"path": list(map(str, files)), "label": LABELS}), tmp_path / "t.parquet")
    monkeypatch.delattr(parquet, "read_table")
    assert load_labelled(str(tmp_path / "t.parquet")).labels == LABELS


def test_sub_folders_that_are_no_classes(tmp_path, files):
    source = Path(make_source("folder", tmp_path, files))
    (source / "dog").mkdir()
    with pytest.raises(ValueError, match=r"dog has no audio, so its class has no example"):
        load_labelled(str(source))
    (source / "dog").rmdir()
    (tmp_path / "parts").mkdir()
    source.rename(tmp_path / "parts" / "train")
    (tmp_path / "parts" / "test" / "ant").mkdir(parents=True)
    (tmp_path / "parts" / "train" / "ant" / "1.wav").rename(tmp_path / "parts" / "test" / "ant" / "1.wav")
    with pytest.raises(ValueError, match=r"test, train, which are parts and no classes: .*--train_data .*parts/train"):
        load_labelled(str(tmp_path / "parts"))


def test_several_labels_in_a_list(tmp_path, files):
    table = pyarrow.table({"path": list(map(str, files)), "labels": [["x", "y"], ["x"], [], ["y"], ["x"], ["y"]]})
    parquet.write_table(table, tmp_path / "t.parquet")
    data = load_labelled(str(tmp_path / "t.parquet"), LabelOptions("classes"))
    assert data.labels[0] == ["x", "y"]
    assert data.targets()[2].tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"t.parquet, column 'labels', row 1: 2 labels"):
        load_labelled(str(tmp_path / "t.parquet"))


def test_the_originals_json_and_its_label_csv(tmp_path, files):
    (tmp_path / "names.csv").write_text('index,mid,display_name\n1,/m/1,Ant\n0,/m/0,"Zebra, young"\n2,/m/2,Cow\n')
    rows = [
        {"wav": str(file), "labels": label}
        for file, label in zip(files, "/m/0 /m/1 /m/2 /m/0 /m/1 /m/1".split(), strict=True)
    ]
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"data": rows}))
    data = load_labelled(str(path), LabelOptions(label_csv=tmp_path / "names.csv"))
    assert data.names == ["Zebra, young", "Ant", "Cow"]
    assert data.labels[:2] == ["Zebra, young", "Ant"]
    rows[3]["labels"] = "/m/0,/m/2"
    path.write_text(json.dumps({"data": rows}))
    several = load_labelled(str(path), LabelOptions("classes", label_csv=tmp_path / "names.csv"))
    assert several.labels[3] == ["Zebra, young", "Cow"]
    rows[4]["labels"] = "/m/7"
    path.write_text(json.dumps({"data": rows}))
    with pytest.raises(ValueError, match=r"row 5: the label '/m/7' is in no class of .*names.csv"):
        load_labelled(str(path), LabelOptions("classes", label_csv=tmp_path / "names.csv"))


@pytest.mark.parametrize(
    ("header", "labels", "options", "message"),
    [
        ("path,colour", LABELS, {}, r"t.csv has the columns 'path', 'colour', none of them label or .*--label_column"),
        ("path,label", LABELS, {"label_column": "species"}, "none of them species"),
        ("path,label", ["a", "", "a", "b", "b", "b"], {}, r"t.csv, column 'label', row 2: no label"),
        ("path,label", ["1", "2", "x", "4", "5", "6"], {"kind": "number"}, "row 3: 'x' is no number"),
        ("path,label", [""] * 6, {"kind": "classes"}, r"t.csv, column 'label' is empty in every row.*--label_column"),
        ("path,label", LABELS, {"fold_column": "fold"}, "--fold_column fold: .*t.csv has the columns"),
        ("path,label", LABELS, {"audio_dir": "elsewhere"}, "relative to elsewhere"),
        ("path,label", ["ant", "cow, young", *LABELS[2:]], {}, "row 2 has more cells than there are columns"),
        (
            "path,label,fold",
            ["a,1", "b,", *["a,2"] * 4],
            {"fold_column": "fold"},
            "row 2 has no 'fold', as --fold_column",
        ),
    ],
)
def test_wrong_tables_are_told_with_row_or_column(header, labels, options, message, tmp_path, files):
    path = write_csv(tmp_path / "t.csv", header, files, labels)
    with pytest.raises((ValueError, OSError), match=message):
        load_labelled(path, LabelOptions(**options))


def test_a_folder_without_classes_names_the_table(tmp_path, files):
    write_csv(tmp_path / "labels.csv", "filename,label", files, LABELS)
    with pytest.raises(ValueError, match=r"one class\. For the labels in a table pass .*labels.csv"):
        load_labelled(str(tmp_path))
    (tmp_path / "audio" / "x").mkdir()
    with pytest.raises(ValueError, match=r"0.wav lies in no sub-folder"):
        load_labelled(str(tmp_path / "audio"))
