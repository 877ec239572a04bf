from __future__ import annotations

import numpy as np
import pytest

from geoconvlora.evaluate import agreement
from geoconvlora.evaluate.agreement import Agreement, Verdict


def judged(found: int, true: int, background: bool) -> Verdict:
    if found == true:
        return Verdict.background if background and true == 0 else Verdict.right
    if background and true == 0:
        return Verdict.false
    return Verdict.missed if background and found == 0 else Verdict.confused


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize(("longest", "step"), [(100, 1), (15, 5), (10, 8)])
def test_cells_hold_the_pixels_of_each_verdict(monkeypatch, background, longest, step) -> None:
    monkeypatch.setattr(agreement, "LONGEST_SIDE", longest)
    rng = np.random.default_rng(0)
    found, true = rng.integers(0, 3, (2, 73, 51), dtype=np.uint16)
    valid = rng.random((73, 51)) < 0.8
    ours = Agreement(73, 51, background=background)
    assert ours.step == step
    for row in range(0, 73, 2 * step):
        rows = slice(row, row + 2 * step)
        ours.add(row, found[rows], true[rows], valid[rows])
    slow = np.zeros_like(ours.counts)
    for y, x in np.argwhere(valid):
        slow[judged(found[y, x], true[y, x], background), y // step, x // step] += 1
    assert np.array_equal(ours.counts, slow)
