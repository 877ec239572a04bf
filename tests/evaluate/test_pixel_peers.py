from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from evaluate_inputs import write_map
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import (
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_jaccard_index,
    multiclass_precision,
    multiclass_recall,
)

from geoconvlora.evaluate.pixel_evaluation import compare_pixels


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 60))
def test_scores_equal_those_of_torchmetrics(tmp_path: Path, seed: int, height: int, width: int):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, (height, width), dtype=np.uint8)
    found = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 4, truth.shape))
    truth[0, 0], found[0, 0] = 1, 1
    hidden = rng.random(truth.shape) < 0.1
    hidden[0, 0] = False
    labels = np.where(hidden, 255, truth).astype(np.uint8)
    report = compare_pixels(
        str(write_map(tmp_path / "p.tif", found.astype(np.uint8))),
        str(write_map(tmp_path / "l.tif", labels, nodata=255)),
        draws=2,
    ).evaluation
    seen = [c.id for c in report.classes]
    p, t = torch.tensor(found)[~hidden], torch.tensor(truth).long()[~hidden]
    whole = multiclass_confusion_matrix(p, t, num_classes=4).numpy()
    assert np.array_equal(np.array(report.confusion), whole[np.ix_(seen, seen)])
    peers = {
        "iou": multiclass_jaccard_index,
        "dice": multiclass_f1_score,
        "precision": multiclass_precision,
        "recall": multiclass_recall,
    }
    for name, peer in peers.items():
        each = peer(p, t, num_classes=4, average="none").numpy()[seen]
        ours = [getattr(c, name).value for c in report.classes]
        assert ours == pytest.approx(each.tolist(), abs=1e-6)
        mean = peer(p, t, num_classes=4, average="macro").item()
        assert getattr(report.mean, name).value == pytest.approx(mean, abs=1e-6)
    assert report.accuracy.value == pytest.approx((p == t).float().mean().item())
