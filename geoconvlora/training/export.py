"""From the best checkpoint of a run to the file that users load."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass
from pathlib import Path

import geoconvlora
from geoconvlora.errors import ConfigError
from geoconvlora.sam import Segmenter
from geoconvlora.training.callbacks import WeightAverage
from geoconvlora.training.checkpoint import read_checkpoint
from geoconvlora.training.config import TrainConfig
from geoconvlora.training.network import describe_base
from geoconvlora.training.start import inherited_data
from geoconvlora.training.task import ConvLoRASegmentation
from geoconvlora.weights import ModelCard, save_base, save_model
from geoconvlora.weights.card import Band, TrainingRecord
from geoconvlora.weights.files import first_not_finite


@dataclass(frozen=True)
class Best:
    """The best epoch of a run."""

    epoch: int
    """Counted from 1."""
    metrics: dict[str, float]
    """Validation metrics."""


def load_best(task: ConvLoRASegmentation, checkpoint: Path) -> Best:
    """Load the best epoch's weights, averaged where the run averages, into the task.

    Raises:
        ConfigError: The checkpoint is missing or damaged.
    """
    state = read_checkpoint(checkpoint)
    weights = dict(state["state_dict"])
    average = state["callbacks"].get(WeightAverage.__name__)
    if average is not None:
        weights |= average["average"]
    task.load_state_dict(weights, strict=False)
    task.eval()
    return Best(int(state["epoch"]) + 1, dict(state["validation"]))


def export(
    config: TrainConfig,
    network: Segmenter,
    bands: tuple[Band, ...],
    best: Best,
    *,
    epochs: int,
    samples: int,
) -> Path:
    """Write the trained network as a model file, or as base weights.

    Args:
        config: Of the run.
        network: With the best weights.
        bands: With the statistics that the run used.
        best: The epoch that the weights are of.
        epochs: Finished epochs of the run.
        samples: Training samples that the whole run saw.

    Returns:
        The file.

    Raises:
        ConfigError: The weights hold NaN or infinity: the run diverged.
    """
    broken = first_not_finite(network.state_dict())
    if broken is not None:
        raise ConfigError(
            f"{config.out} is not written: the weights of epoch {best.epoch} hold NaN or infinity "
            f"(in {broken}), so the run diverged; lower optim.lr ({config.optim.lr:g}) or "
            "optim.clip, or set precision: 32, and train again"
        )
    record = TrainingRecord(
        data=(*config.data_lines, *inherited_data(config.init)),
        seed=config.seed,
        epochs=epochs,
        samples=samples,
        config=config.model_dump(mode="json", exclude_defaults=True),
        versions=_versions(),
        metrics=best.metrics,
    )
    if config.model.export == "base":
        about = {
            "name": config.name,
            "description": config.description,
            "licence": config.licence,
            "training": record.model_dump(mode="json"),
        }
        return save_base(config.out, network, about=about, overwrite=True)
    base = describe_base(config.model.size, config.model.base)
    if config.model.method == "full":
        # Every tensor travels in the model file, so prediction needs no base file.
        base = base.model_copy(update={"sha256": None})
    card = ModelCard(
        name=config.name,
        description=config.description,
        limits=config.limits,
        licence=config.licence,
        task=config.task,
        base=base,
        method=config.model.method,
        method_settings=config.model.settings,
        decoder=config.model.decoder,
        classes=config.classes,
        bands=bands,
        scaling=config.scaling,
        resolution=config.resolution,
        tile_size=config.map_tile_size or config.tile_size,
        overlap=config.map_overlap,
        reductions=config.map_reductions,
        views=config.map_views,
        precision=config.map_precision,
        instances=config.instances,
        training=record,
    )
    return save_model(config.out, network, card, overwrite=True)


def _versions() -> dict[str, str]:
    packages = ("torch", "lightning", "torchgeo", "segmentation-models-pytorch")
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {
        "geoconvlora": geoconvlora.__version__,
        "python": platform.python_version(),
        **versions,
    }
