from __future__ import annotations

from typing import Any

import numba
import pytest

from geoconvlora.vector import compiled as module


@pytest.mark.parametrize("fault", [RuntimeError("no locator available"), OSError("disk full")])
def test_without_a_folder_for_the_cache_loops_are_compiled_all_the_same(monkeypatch, fault):
    tried = []

    def no_cache(signature: str, **settings: Any):
        tried.append(settings.get("cache", False))
        if settings.get("cache"):
            raise fault
        return numba.njit(signature, **settings)

    monkeypatch.setattr(module, "njit", no_cache)
    twice = module.compiled("int64(int64)")(lambda number: number * 2)
    assert twice(21) == 42
    assert tried == [True, False]
