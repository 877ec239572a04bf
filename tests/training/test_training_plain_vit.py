from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from geoconvlora.errors import ConfigError, WeightsError
from geoconvlora.sam import PlainViTEncoder
from geoconvlora.training.config_file import load_config
from geoconvlora.training.network import describe_base
from geoconvlora.training.run import train
from geoconvlora.weights import load, sha256_of

SIZE = "timm/vit_tiny_patch16_224"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    file = tmp_path / "vit.pth"
    torch.save(timm.create_model("vit_tiny_patch16_224").state_dict(), file)
    return file


@pytest.mark.slow
def test_run_on_a_vits_file_gives_a_model_that_names_it(
    tiles_config: Callable[..., dict[str, Any]], base: Path
) -> None:
    torch.set_num_threads(1)
    changes = {"model.size": SIZE, "model.base": str(base), "model.method": "conv-lora"}
    once = {"optim.epochs": 1, "model.settings": {"experts": 2}}
    result = train(load_config(None, tiles_config("adapted", **changes, **once)))
    assert result.model is not None
    model = load(result.model, base=base)
    assert model.card.base.size == SIZE
    assert model.card.base.sha256 == sha256_of(base)
    assert isinstance(model.network.encoder, PlainViTEncoder)


def test_a_vits_file_does_not_say_its_architecture(base: Path) -> None:
    assert describe_base(SIZE, str(base)).size == SIZE
    with pytest.raises(WeightsError, match="timm/vit_small_patch16_224"):
        describe_base(None, str(base))


@pytest.mark.parametrize("size", ["vit_x", "resnet50", "timm/hf-hub:x"])
def test_other_sizes_are_refused(tiles_config: Callable[..., dict[str, Any]], size: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.size"):
        load_config(None, tiles_config("m", **{"model.size": size}))
