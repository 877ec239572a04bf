"""A landscape in memory: reflectance, field numbers and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvlora.synthetic.country import Country

TILE_PX = 256


@dataclass(frozen=True)
class Landscape:
    """What a sensor sees and what is there.

    Attributes:
        image: (4, H, W) float32 reflectance, 0.001 to 1, of red, green, blue and near infrared.
        field_ids: (H * k, W * k) int32, 1, 2, ... for fields and 0 elsewhere; k is
            ``label_scale``. A number is one connected field.
        label: (H * k, W * k) uint8: 0 background, 1 field interior, 2 field boundary.
    """

    image: NDArray[np.float32]
    field_ids: NDArray[np.int32]
    label: NDArray[np.uint8]


def landscape(
    seed: int, height: int, width: int, *, gsd_m: float = 10.0, label_scale: int = 2
) -> Landscape:
    """Farmland with woods, villages and water, of any size.

    Args:
        seed: Any integer at or above 0; the same seed and size give the same landscape.
        height: Rows of the sensor's image.
        width: Columns of the sensor's image.
        gsd_m: Size of the sensor's pixels in metres.
        label_scale: How many times finer the labels are than the image: 1, 2, 4, ...

    Raises:
        ValueError: A size, the GSD or the scale is not positive.

    Example:
        >>> from geoconvlora.synthetic import landscape
        >>> scene = landscape(1, 64, 96)
        >>> scene.image.shape, scene.label.shape
        ((4, 64, 96), (128, 192))
        >>> bool(((scene.label > 0) == (scene.field_ids > 0)).all())
        True
    """
    if min(height, width, label_scale) < 1 or not gsd_m > 0:
        raise ValueError(
            f"height {height}, width {width}, gsd_m {gsd_m} and label_scale {label_scale} "
            "must be positive"
        )
    country = Country(seed, height, width, gsd_m=gsd_m, label_scale=label_scale)
    image = np.empty((4, height, width), dtype=np.float32)
    ids = np.empty((height * label_scale, width * label_scale), dtype=np.int32)
    label = np.empty(ids.shape, dtype=np.uint8)
    whole, whole_label = country.extent, country.extent.scaled(label_scale)
    for box in whole.tiles(TILE_PX):
        image[(slice(None), *box.within(whole))] = country.image(box)
        fine = box.scaled(label_scale)
        ids[fine.within(whole_label)] = country.field_ids(fine)
        label[fine.within(whole_label)] = country.label(fine)
    present = np.zeros(int(ids.max()) + 1, dtype=bool)
    present[ids] = True
    present[0] = False
    return Landscape(image, np.cumsum(present, dtype=np.int32).take(ids) * (ids > 0), label)
