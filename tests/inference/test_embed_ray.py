"""Ray makes the parts that one process makes, also if it loses an actor."""

import threading
import time

import numpy as np
import psutil
import pytest
import soundfile
from pyarrow import parquet

from ssast_hf import Embedder
from ssast_hf.assets import bundled_clips, nano_model
from ssast_hf.cli import main


ray = pytest.importorskip("ray", reason="Ray is in the extra `ray` alone, which not every machine can install")
ACTOR = "PartMaker"


@pytest.fixture
def audio(tmp_path):
    """Sixty recordings."""
    clips = [soundfile.read(path, dtype="float32") for path in bundled_clips()]
    (tmp_path / "audio").mkdir()
    for number in range(60):
        samples, rate = clips[number % len(clips)]
        soundfile.write(tmp_path / "audio" / f"{number:02d}.wav", np.roll(samples, 100 * number, axis=0), rate)
    return tmp_path / "audio"


def kill_an_actor(folder, killed: list, is_over: threading.Event):
    """As soon as a part is there."""
    while not killed and not is_over.is_set():
        if list(folder.glob("part-*.parquet")):
            for each in psutil.Process().children(recursive=True):
                if ACTOR in " ".join(each.cmdline()):
                    each.kill()
                    killed.append(each.pid)
                    break
        time.sleep(0.01)


def test_lost_actor_loses_no_row(audio, tmp_path):
    def embed(output, *options):
        command = ["embed", audio, "--model", "nano", "--output", tmp_path / output, "--num_workers", 0]
        assert main(list(map(str, [*command, "--recordings_per_part", 2, *options]))) == 0
        return parquet.read_table(sorted((tmp_path / output).glob("part-*.parquet")))

    local = embed("local")
    killed: list[int] = []
    is_over = threading.Event()
    killer = threading.Thread(target=kill_an_actor, args=(tmp_path / "ray", killed, is_over))
    killer.start()
    try:
        on_ray = embed("ray", "--engine", "ray", "--num_actors", 2)
    finally:
        is_over.set()
        killer.join()
    assert killed
    assert on_ray.select(["path", "start", "end"]) == local.select(["path", "start", "end"])
    vectors = [np.array(table["embedding"].to_pylist()) for table in (on_ray, local)]
    np.testing.assert_allclose(*vectors, atol=2e-6)
    assert on_ray.schema.metadata == local.schema.metadata
    assert {path.name for path in (tmp_path / "ray").iterdir()} == {f"part-{n:05d}.parquet" for n in range(30)}


def test_embedder_is_what_ray_maps(tmp_path):
    paths = [str(path) for path in bundled_clips()]
    # Those who write need some, too.
    ray.init(num_cpus=4, include_dashboard=False, configure_logging=False)
    try:
        table = ray.data.from_items([{"path": path} for path in paths])
        models = {"fn_constructor_args": (str(nano_model()),), "compute": ray.data.ActorPoolStrategy(size=2)}
        table = table.map_batches(Embedder, batch_size=2, **models)
        table.write_parquet(str(tmp_path / "out"))
    finally:
        ray.shutdown()
    rows = parquet.read_table(tmp_path / "out").sort_by("path")
    assert rows["path"].to_pylist() == sorted(paths)
    np.testing.assert_allclose(rows["embedding"].to_pylist(), Embedder(nano_model())(sorted(paths)), atol=2e-6)
