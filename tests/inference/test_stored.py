"""Parts read back: whole, of one model, finite; and the exact search in them."""

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from stored_parts import write_part

from ssast_hf.inference.embedding import stored
from ssast_hf.inference.embedding.stored import StoredEmbeddings
from ssast_hf.inference.exploring.nearest import find_nearest


def rows(count: int, seed: int = 0, size: int = 6) -> list[tuple]:
    vectors = np.random.default_rng(seed).normal(size=(count, size))
    return [(f"{seed}/{i}.wav", 0.0, 1.0 + i, vector) for i, vector in enumerate(vectors)]


def test_parts_are_read_piece_by_piece_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "ROWS_READ", 3)
    both = rows(7) + rows(4, seed=1)
    write_part(tmp_path, 0, both[:7], pooling="mean")
    write_part(tmp_path, 1, both[7:], pooling="mean")
    parts = StoredEmbeddings(tmp_path)
    assert (parts.num_rows, parts.size, parts.level, parts.settings["pooling"]) == (11, 6, "clip", "mean")
    pieces = list(parts.rows())
    assert [piece.num_rows for piece in pieces] == [3, 3, 1, 3, 1]
    everything = stored.joined(pieces)
    assert everything.paths.tolist() == [row[0] for row in both]
    assert everything.ends.tolist() == [row[2] for row in both]
    np.testing.assert_array_equal(everything.vectors, np.float32([row[3] for row in both]))
    assert parts.rows_of_paths(["1/2.wav", "0/6.wav"]).paths.tolist() == ["0/6.wav", "1/2.wav"]
    assert parts.rows_of_paths(["elsewhere"]) is None


def test_nearest_are_those_of_one_product(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "ROWS_READ", 4)
    table = rows(30)
    write_part(tmp_path, 0, table)
    vectors = np.float32([row[3] for row in table])
    own = np.array([2, 17, 29])
    found = find_nearest(vectors[own], StoredEmbeddings(tmp_path).rows(), 5, own=own)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for i, number in enumerate(own):
        cosines = units @ units[number]
        cosines[number] = -2
        expected = np.argsort(-cosines)[:5]
        assert found.numbers[i].tolist() == expected.tolist()
        assert found.paths[i].tolist() == [table[j][0] for j in expected]
        np.testing.assert_allclose(found.similarities[i], cosines[expected], atol=1e-6)
    few = find_nearest(vectors[:1], StoredEmbeddings(tmp_path).rows(), 100, own=np.array([0]))
    assert (few.numbers >= 0).sum() == 29


def test_time_steps_become_the_mean_of_their_path(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "ROWS_READ", 2)
    steps = [("b", 0.0, 1.0, [1, 0]), ("b", 1.0, 2.0, [3, 0]), ("a", 0.0, 1.0, [0, 1]), ("b", 2.0, 3.0, [5, 6])]
    write_part(tmp_path, 0, steps, level="frame")
    (clips,) = StoredEmbeddings(tmp_path).clips()
    assert clips.paths.tolist() == ["b", "a"]
    assert clips.vectors.tolist() == [[3, 2], [0, 1]]
    assert (clips.starts.tolist(), clips.ends.tolist()) == ([0, 0], [3, 1])


def half(folder):
    path = write_part(folder, 1, rows(5))
    path.write_bytes(path.read_bytes()[:-100])


def foreign(folder):
    parquet.write_table(pyarrow.table({"path": ["a.wav"], "label": ["dog"]}), folder / "part-00001.parquet")


def without_vector(folder):
    path = write_part(folder, 1, rows(2))
    table = parquet.read_table(path)
    column = pyarrow.array([[0.0] * 6, None], table.schema.field("embedding").type)
    parquet.write_table(table.set_column(3, "embedding", column).replace_schema_metadata(table.schema.metadata), path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (half, "part-00001.parquet is not a whole parquet file"),
        (foreign, "part-00001.parquet was not written by embed"),
        (without_vector, "part-00001.parquet has rows without path, time or embedding"),
        (lambda folder: write_part(folder, 1, rows(2), sha256="1" * 64), r"by model \(SHA-256 111111111111"),
        (lambda folder: write_part(folder, 1, rows(2), level="frame"), "Keep them in folders of their own"),
        (lambda folder: write_part(folder, 1, rows(2, size=7)), "7 numbers"),
        (lambda folder: write_part(folder, 1, [("x.wav", 0, 1, [np.nan] * 6)]), "NaN or infinity, that of x.wav"),
        (lambda folder: [path.unlink() for path in folder.iterdir()], "holds no part-.*ssast-hf embed SOURCES"),
    ],
    ids="half foreign null model settings size nan empty".split(),
)
def test_parts_that_are_not_in_order_are_named(tmp_path, spoil, message):
    write_part(tmp_path, 0, rows(3))
    spoil(tmp_path)
    with pytest.raises(ValueError, match=message) as raised:
        list(StoredEmbeddings(tmp_path).rows())
    assert "\n" not in str(raised.value)
