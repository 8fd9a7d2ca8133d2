"""The same parts made by Ray: on all machines of a cluster, again where one of them is lost."""

import os
from collections.abc import Iterator

import numpy as np
from transformers.utils import logging

from ...assets import named_model
from ..embedder import Embedder
from .parts import path_of, read_origin
from .work import Job, embed_parts


# Pieces that Ray shares out: each is repeated if an actor is lost before it ends.
MOST_BLOCKS = 10_000


class PartMaker:
    """
    What Ray runs in its actors: a model that makes parts, given their numbers.

    Args:
        job: A reference to a [`Job`], which Ray keeps once per machine.
    """

    def __init__(self, job):
        self.job: Job = ray_package().get(job[0])
        os.chdir(self.job.working_folder)
        logging.disable_progress_bar()
        self.embedder = Embedder(named_model(self.job.origin.model), **self.job.options)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Seconds of each recording, 0 if it cannot be used; of those of a part that is there from before a loss."""
        seconds: list[float] = []
        for part in batch["part"].tolist():
            path = path_of(self.job.folder, part)
            if path.exists() and read_origin(path)[1].end == self.job.numbers(part).stop:
                seconds += [0.0] * len(self.job.numbers(part))
            else:
                seconds += embed_parts(self.job, self.embedder, self.job.items([part]))
        return {"seconds": np.array(seconds)}


def embed_on_ray(
    job: Job, missing: list[int], address: str | None, num_actors: int, gpus_per_actor: float | None
) -> Iterator[float]:
    """
    Make parts. Each is whole or not there, so that Ray may repeat what a lost actor began.

    Args:
        job ([`Job`]): Its sources and its folder have to be where all machines find them.
        missing (`list[int]`): Which parts.
        address (`str`, *optional*): Of a cluster, or `"auto"`; a new one on this machine if not given.
        num_actors (`int`): How many models.
        gpus_per_actor (`float`, *optional*): 1 if the cluster has any, if not given.

    Raises:
        ValueError, OSError: As [`embed_parts`].
        ConnectionError: If there is no such cluster.
    """
    if num_actors < 1:
        raise ValueError(f"--num_actors must be at least 1, got {num_actors}.")
    if not missing:
        return
    ray = ray_package()
    is_own = not ray.is_initialized()
    if is_own:
        ray.init(address=address, include_dashboard=None if address else False, configure_logging=False)
    ray.data.DataContext.get_current().enable_progress_bars = False  # there is one already
    try:
        if gpus_per_actor is None:
            gpus_per_actor = 1 if ray.cluster_resources().get("GPU") else 0
        blocks = min(len(missing), MOST_BLOCKS)
        parts = ray.data.from_items([{"part": part} for part in missing], override_num_blocks=blocks)
        shared = ray.put(job)  # kept here: actors that are started again read it again
        done = parts.map_batches(
            PartMaker,
            batch_size=1,
            fn_constructor_args=([shared],),
            compute=ray.data.ActorPoolStrategy(size=num_actors),
            num_gpus=gpus_per_actor,
            num_cpus=None if gpus_per_actor else 1,
        )
        for row in done.iter_rows():
            yield float(row["seconds"])
    except ray.exceptions.RayError as error:
        raise cause_of(error) from error
    finally:
        if is_own:
            ray.shutdown()


def cause_of(error: BaseException) -> BaseException:
    """What went wrong in an actor, without what Ray says about it."""
    while isinstance(error, ray_package().exceptions.RayError):
        inner = getattr(error, "cause", None) or error.__cause__
        if not isinstance(inner, BaseException):
            return error
        error = inner
    return error


def ray_package():
    """The module `ray`, which is not among the package's requirements."""
    try:
        import ray.data
    except ImportError as error:
        raise ImportError('--engine ray needs ray, which is not installed: pip install "ssast_hf[ray]"') from error
    return ray
