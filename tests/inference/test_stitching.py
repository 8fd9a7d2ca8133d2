"""Windows over a long recording: all of it, each step once, and each step from the window that sees most around it."""

import pytest

from ssast_hf.inference.stitching import Window, plan_windows


@pytest.mark.parametrize("hop", [1, 3, 4])
@pytest.mark.parametrize("num_steps", range(1, 40))
def test_every_step_is_kept_once(num_steps, hop):
    windows = plan_windows(num_steps, 4, hop)
    kept = [step for window in windows for step in range(window.first, window.last)]
    assert kept == list(range(num_steps))
    for start, stop, first, last in windows:
        assert start <= first <= last <= stop <= num_steps
        assert stop - start == min(num_steps, 4)


def test_what_two_windows_share_is_halved():
    assert plan_windows(10, 6, 4) == [Window(0, 6, 0, 5), Window(4, 10, 5, 10)]
    assert plan_windows(11, 6, 4) == [Window(0, 6, 0, 5), Window(4, 10, 5, 7), Window(5, 11, 7, 11)]


def test_short_recording_is_one_window():
    assert plan_windows(6, 6, 4) == [Window(0, 6, 0, 6)]
