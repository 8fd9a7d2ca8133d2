"""Events in time: from seconds to the time steps of a model and back, and how well they are found."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...audio.labels import Event


# Above which probability a class may be taken to be there. Which is best depends on how rare events are, and on how
# sure a model is.
THRESHOLDS = tuple(percent / 100 for percent in range(5, 100, 5))
# Seconds of a frame, and of a segment; by how many begins may differ, and ends, or by which share of the event.
FRAME, SEGMENT, COLLAR, END_SHARE = 0.01, 1.0, 0.2, 0.2


@dataclass(frozen=True)
class Clock:
    """
    When the time steps of a model are.

    Args:
        first (`float`): The centre of the first, in seconds.
        step (`float`): From one to the next.
        names (`list[str]`): The classes.
    """

    first: float
    step: float
    names: list[str]

    def targets(self, events: list[Event], begin: float, num_steps: int) -> np.ndarray:
        """Which class is there at each step of a window from `begin`, float32 `(num_steps, num_classes)`."""
        index = {name: i for i, name in enumerate(self.names)}
        targets = np.zeros((num_steps, len(self.names)), dtype=np.float32)
        for onset, offset, name in events:
            steps = [np.ceil((time - begin - self.first) / self.step) for time in (onset, offset)]
            low, high = int(steps[0]), int(steps[1])
            if low == high and offset > begin:  # between two steps: the nearer one
                low = round(((onset + offset) / 2 - begin - self.first) / self.step)
                high = low + 1
            targets[max(low, 0) : max(high, 0), index[name]] = 1
        return targets

    def events(self, is_there: np.ndarray) -> list[Event]:
        """What lasts how long in a recording, by which class is there at each step, (num_steps, num_classes)."""
        found = []
        edges = np.diff(np.pad(is_there.astype(np.int8), ((1, 1), (0, 0))), axis=0)
        for i, name in enumerate(self.names):
            pairs = zip(np.flatnonzero(edges[:, i] == 1), np.flatnonzero(edges[:, i] == -1), strict=True)
            for begin, end in pairs:
                times = [max(self.first + (step - 0.5) * self.step, 0.0) for step in (begin, end)]
                found.append((float(times[0]), float(times[1]), name))
        return sorted(found)


@dataclass(frozen=True)
class StepLabels:
    """
    Which classes are there at each time step of a clip.

    Args:
        clock ([`Clock`]): When these are.
        events (`list[list[Event]]`): Of each recording.
        config ([`SSASTConfig`]), feature_extractor ([`SSASTFeatureExtractor`]): Say how many steps a clip has.
    """

    clock: Clock
    events: list[list[Event]]
    config: Any
    feature_extractor: Any

    def __call__(self, index: int, begin: float, num_samples: int) -> np.ndarray:
        steps = self.config.time_grid(self.feature_extractor.num_frames(num_samples))
        return self.clock.targets(self.events[index], begin, max(steps, 0))


def counts_of(said: list[Event], true: list[Event], names: list[str]) -> np.ndarray:
    """
    How often events are found, missed and made up, in one recording: int64 `(num_classes, 9)`, right, made up and
    missed by segments of a second, then the same by events, then by frames of 10 ms.
    """
    counts = np.zeros((len(names), 9), dtype=np.int64)
    present = {event[2] for events in (said, true) for event in events}
    for i, name in enumerate(names):
        if name not in present:
            continue
        pair = [[event for event in events if event[2] == name] for events in (said, true)]
        length = max((event[1] for events in pair for event in events), default=0.0)
        matched = matches(*pair)
        counts[i, 3:6] = matched, len(pair[0]) - matched, len(pair[1]) - matched
        for columns, active in ((slice(0, 3), segments), (slice(6, 9), frames)):
            here, there = (active(events, length) for events in pair)
            counts[i, columns] = (here & there).sum(), (here & ~there).sum(), (~here & there).sum()
    return counts


def segments(events: list[Event], length: float) -> np.ndarray:
    """In which seconds of `length` there is something, boolean."""
    active = np.zeros(int(np.ceil(length / SEGMENT)), dtype=bool)
    for onset, offset, _ in events:
        active[int(onset // SEGMENT) : int(np.ceil(offset / SEGMENT))] = True
    return active


def frames(events: list[Event], length: float) -> np.ndarray:
    """In which frames of `length` seconds there is something, boolean."""
    active = np.zeros(round(length / FRAME), dtype=bool)
    for onset, offset, _ in events:
        active[round(onset / FRAME) : round(offset / FRAME)] = True
    return active


def matches(said: list[Event], true: list[Event]) -> int:
    """How many events begin and end where they should, each counted once."""
    left, count = list(true), 0
    for onset, offset, _ in sorted(said):
        for event in left:
            late = max(COLLAR, END_SHARE * (event[1] - event[0]))
            if abs(onset - event[0]) <= COLLAR and abs(offset - event[1]) <= late:
                left.remove(event)
                count += 1
                break
    return count


def f1_of(counts: np.ndarray) -> dict[str, float]:
    """F1 by segments, events and frames, of sums as from [`counts_of`], over classes and recordings alike; (9,)."""

    def f1(right, made_up, missed) -> float:
        return float(2 * right / (2 * right + made_up + missed)) if right + made_up + missed else float("nan")

    return {"segment_f1": f1(*counts[:3]), "event_f1": f1(*counts[3:6]), "frame_f1": f1(*counts[6:])}
