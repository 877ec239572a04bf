"""The configuration in the documentation is valid."""

import re
from pathlib import Path

import pytest
import yaml

from geoconvlora.training.config_file import load_config

DOCS = Path(__file__).parents[2] / "docs" / "training_data.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
WHOLE = {
    "model": {"size": "vit_t", "method": "full"},
    "classes": [
        {"id": 0, "name": "other", "color": "#000000"},
        {"id": 1, "name": "wheat", "color": "#00ff00"},
    ],
    "data": {"kind": "scenes", "scenes": [{"image": "scene.tif", "labels": "labels.gpkg"}]},
    "out": "model.safetensors",
}


@pytest.mark.parametrize("block", BLOCKS)
def test_every_piece_of_configuration_is_valid(block: str) -> None:
    load_config(None, {**WHOLE, **yaml.safe_load(block)})


def test_documentation_has_configuration() -> None:
    assert len(BLOCKS) == 8
