"""What is trained and what is tested on, and what would make the test worthless."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from datasets import Dataset

from ssast_hf.audio.labelled import LabelledData
from ssast_hf.audio.recordings import Recordings
from ssast_hf.audio.splits import (
    by_fold,
    check_apart,
    check_split,
    hold_out_share,
    make_split,
    stratified_folds,
    unusable,
)


def make(labels, folds=None, groups=None, paths=None, source="t.csv") -> LabelledData:
    paths = [f"{i}.wav" for i in range(len(labels))] if paths is None else list(map(str, paths))
    recordings = Recordings(Dataset.from_dict({"path": paths}), source)
    return LabelledData(recordings, labels, sorted(set(labels)), source, np.arange(1, len(labels) + 1), groups, folds)


def test_each_fold_is_tested_once():
    data = make(list("abababab"), folds=["10", "10", "9", "9", "2", "2", "2", "10"])
    splits = by_fold(data)
    assert [split.name for split in splits] == ["fold 2", "fold 9", "fold 10"]
    assert [len(split.test) for split in splits] == [3, 2, 3]
    assert by_fold(data, ["9"])[0].test.rows.tolist() == [3, 4]
    with pytest.raises(ValueError, match="no fold '7'; its folds are 2, 9, 10"):
        by_fold(data, ["7"])


def test_a_share_is_held_out_of_each_class():
    data = make(list("a" * 40 + "b" * 10))
    train, test = hold_out_share(data, 0.2, 0)
    assert test.labels.count("a") == 8
    assert test.labels.count("b") == 2
    assert sorted([*train.rows, *test.rows]) == list(range(1, 51))
    assert hold_out_share(data, 0.2, 0)[1].rows.tolist() == test.rows.tolist()


def test_no_group_is_divided():
    data = make(list("ab" * 20), groups=[f"g{i // 4}" for i in range(40)])
    train, test = hold_out_share(data, 0.2, 1)
    assert not set(train.groups) & set(test.groups)
    assert test.labels.count("a") == test.labels.count("b") == 4


def test_groups_of_few_recordings_per_class_are_held_out_or_told():
    data = make(list("abcdefghij" * 3), groups=[f"g{i // 3}" for i in range(30)])
    train, test = hold_out_share(data, 0.2, 0)
    assert not set(train.groups) & set(test.groups)
    assert 0 < len(test) < len(train)
    with pytest.raises(ValueError, match="has one recording of each class"):
        hold_out_share(make(list("abcdefghij"), groups=[f"g{i}" for i in range(10)]), 0.2, 0)


def test_whole_groups_make_up_any_share():
    data = make(list("ab" * 100), groups=[f"g{i // 4}" for i in range(200)])
    for fraction in (0.05, 0.2, 0.3, 0.4, 0.7, 0.95):
        assert len(hold_out_share(data, fraction, 0)[1]) == pytest.approx(200 * fraction, abs=4)
    few = replace(data, groups=[f"g{i // 67}" for i in range(200)])
    assert {len(set(hold_out_share(few, fraction, 0)[1].groups)) for fraction in (0.05, 0.4)} == {1}


def test_what_makes_a_test_worthless_is_told():
    train, test = make(list("aabb")), make(list("aabb"), source="test.csv")
    check_split(make_split("the test", train, test))
    for other, message in {
        "aabc": r"test.csv, row 4 .*: the label 'c' is unknown; t.csv has no such class",
        "aab": r"test.csv: the class 'b' has 1 example to test on in the test; expected at least 2",
        "aa": r"the class 'b' has no examples to test on",
        "": "has no recordings to test on",
    }.items():
        with pytest.raises(ValueError, match=message):
            check_split(make_split("the test", train, make(list(other), source="test.csv")))
    groups = [replace(train, groups=["x", "x", "y", "y"]), replace(test, groups=["z", "z", "y", "z"])]
    with pytest.raises(ValueError, match="the group 'y' is both in what to train on and in what to test on"):
        check_split(make_split("the test", *groups))


def test_the_same_recording_in_two_parts_is_found_by_its_content(tmp_path):
    noise = np.random.RandomState(0).randn(4, 4000) * 0.1
    noise[2, 2000:] = noise[1, 2000:]
    for i in range(4):
        soundfile.write(tmp_path / f"{i}.wav", noise[i], 16000)
    (tmp_path / "3.wav").write_bytes((tmp_path / "0.wav").read_bytes())
    data = make(list("abab"), paths=[tmp_path / f"{i}.wav" for i in range(4)])
    one, other = np.array([0, 1]), np.array([2])
    check_apart({"fold 1": data.select(one), "fold 2": data.select(other)})
    with pytest.raises(ValueError, match=r"in fold 1 and in fold 2: t.csv, row 1 \(.*0.wav\) and t.csv, row 4"):
        check_apart({"fold 1": data.select(one), "fold 2": data.select(np.array([2, 3]))})


def test_recordings_that_cannot_be_used_are_named(tmp_path):
    soundfile.write(tmp_path / "short.wav", np.zeros(100), 16000)
    soundfile.write(tmp_path / "long.wav", np.zeros(4000), 16000)
    (tmp_path / "text.wav").write_text("no audio")
    paths = [tmp_path / f"{name}.wav" for name in ("short", "long", "text", "missing")]
    reasons = unusable(make(list("abab"), paths=paths), 16000, 2800)
    assert list(reasons) == [0, 2, 3]
    assert "short.wav) is shorter than a patch: 100 samples at 16000 Hz, of 2800" in reasons[0]
    assert "cannot be read" in reasons[2]
    assert "missing.wav" in reasons[3]


def test_folds_of_several_labels_have_each_label_alike():
    labels = [[name for place, name in enumerate("abcd") if i % (place + 2) == 0] for i in range(60)]
    groups = [str(i // 2) for i in range(60)]
    data = replace(make([""] * 60, groups=groups), labels=labels, names=list("abcd"))
    folds = stratified_folds(data, 3, 0)
    assert all(len({folds[2 * i], folds[2 * i + 1]}) == 1 for i in range(30))
    counts = np.array([data.targets()[folds == fold].sum(axis=0) for fold in range(3)])
    assert (np.ptp(counts, axis=0) <= 3).all()
    assert np.ptp(np.bincount(folds)) <= 6
    assert (stratified_folds(data, 3, 0) == folds).all()
