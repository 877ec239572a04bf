import importlib

import pytest

import geoconvlora

NAMES = ("load", "mosaic", "predict", "predict_array", "polygonize", "train", "__version__")
ROOMS = (
    "adapters",
    "errors",
    "evaluate",
    "explore",
    "inference",
    "sam",
    "scenes",
    "synthetic",
    "training",
    "vector",
    "weights",
)


@pytest.mark.parametrize("name", NAMES)
def test_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(geoconvlora, name)
    assert name in dir(geoconvlora)


def test_evaluate_is_a_function_besides_a_room() -> None:
    assert callable(geoconvlora.evaluate)


@pytest.mark.parametrize("name", ROOMS)
def test_room_is_an_attribute_and_listed(name: str) -> None:
    module = importlib.import_module(f"geoconvlora.{name}")
    assert getattr(geoconvlora, name) is module
    assert geoconvlora.__getattr__(name) is module
    assert name in dir(geoconvlora)


def test_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        geoconvlora.nonsense  # noqa: B018
