"""Pieces and their surfaces to pixels: warp, texture, sensor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoconvlora.synthetic.noise import PERIOD, noise_bank
from geoconvlora.synthetic.surfaces import Surfaces

CELLS_A_PIXEL = 4
"""The ground is drawn four times finer than the sensor sees, so that mixed pixels are real."""


@dataclass(frozen=True)
class Warp:
    """A gentle bending of the ground: sums of plane waves, defined everywhere, (waves,) each."""

    wave_x: NDArray[np.float64]
    wave_y: NDArray[np.float64]
    phase: NDArray[np.float64]
    along_x: NDArray[np.float64]
    """Amplitude in cells of the displacement along columns."""
    along_y: NDArray[np.float64]

    @property
    def reach(self) -> int:
        """Cells by which a place moves at most."""
        return math.ceil(max(float(np.abs(self.along_x).sum()), float(np.abs(self.along_y).sum())))

    def at(
        self, rows: NDArray[np.floating], columns: NDArray[np.floating]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Where the ground of each raster place comes from: row and column, (rows, columns)."""
        down = np.outer(rows, self.wave_y)
        right = np.outer(columns, self.wave_x) + self.phase
        left = np.concatenate([np.cos(down), np.sin(down)], axis=1).astype(np.float32)
        row_part = np.concatenate([np.sin(right) * self.along_y, np.cos(right) * self.along_y], 1)
        column_part = np.concatenate(
            [np.sin(right) * self.along_x, np.cos(right) * self.along_x], 1
        )
        source_row = left @ row_part.T.astype(np.float32)
        source_column = left @ column_part.T.astype(np.float32)
        source_row += rows.astype(np.float32)[:, None]
        source_column += columns.astype(np.float32)[None, :]
        return source_row, source_column


def draw_warp(rng: np.random.Generator, amplitude: float, cell_m: float) -> Warp:
    """Two long waves that bend fields and two short ones that roughen every line.

    Args:
        rng: Source of chance.
        amplitude: Of the long waves, in cells.
        cell_m: Cell size in metres.
    """
    length_m = np.concatenate([rng.uniform(500, 1800, 2), rng.uniform(60, 250, 2)])
    number = 2 * math.pi * cell_m / length_m
    heading = rng.uniform(0, 2 * math.pi, 4)
    size = np.array([1.0, 0.6, 0.0, 0.0]) * amplitude
    size[2:] = rng.uniform(0.2, 1.6, 2) / cell_m
    turn = rng.uniform(0, 2 * math.pi, 4)
    return Warp(
        wave_x=number * np.cos(heading),
        wave_y=number * np.sin(heading),
        phase=rng.uniform(0, 2 * math.pi, 4),
        along_x=size * np.cos(turn),
        along_y=size * np.sin(turn),
    )


def look_up(
    raster: NDArray[np.integer], source_row: NDArray[np.float32], source_column: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Nearest value of ``raster`` at each place; places outside take the border's value."""
    height, width = raster.shape
    place = np.clip(source_row, 0, height - 1).astype(np.int64)
    place *= width
    place += np.clip(source_column, 0, width - 1).astype(np.int64)
    return raster.ravel().take(place, mode="clip").astype(np.int64)


def render(
    pieces: NDArray[np.int64], surfaces: Surfaces, row: int = 0, column: int = 0
) -> NDArray[np.float32]:
    """Colours of the sensor's pixels before its blur.

    Args:
        pieces: (H, W) numbers of the pieces seen, H and W multiples of CELLS_A_PIXEL.
        surfaces: Tables by piece number.
        row: Place of the first row in the landscape, so that textures continue.
        column: Place of the first column.

    Returns:
        (bands, H / CELLS_A_PIXEL, W / CELLS_A_PIXEL) float32.
    """
    height, width = pieces.shape
    bank = noise_bank()
    y = np.arange(row, row + height)
    x = np.arange(column, column + width)
    flat = (y % PERIOD)[:, None] * PERIOD + (x % PERIOD)[None, :]
    own = flat + surfaces.shift.take(pieces, mode="clip")
    own &= PERIOD * PERIOD - 1

    def of(table: NDArray[np.float32], places: NDArray[np.int64] = pieces) -> NDArray[np.float32]:
        # All indices are in range; 'clip' spares numpy the check of each.
        return table.ravel().take(places, mode="clip")

    light = of(surfaces.row_x)
    light *= x.astype(np.float32)[None, :]
    climb = of(surfaces.row_y)
    climb *= y.astype(np.float32)[:, None]
    light += climb
    light += of(surfaces.row_phase)
    np.sin(light, out=light)
    light *= of(surfaces.row_strength)
    light += of(surfaces.grain) * of(bank.grain, own)
    light += of(surfaces.mottle) * of(bank.mottle, own)
    light += 1

    drift = of(surfaces.soil) * of(bank.soil, flat)
    drift += of(surfaces.spots) * of(bank.spots, own)

    pixels = np.empty(
        (len(surfaces.mean), height // CELLS_A_PIXEL, width // CELLS_A_PIXEL), np.float32
    )
    for band, mean in enumerate(surfaces.mean):
        ground = of(mean)
        ground *= light
        pixels[band] = block_mean(ground, CELLS_A_PIXEL)
    pixels += surfaces.drift[:, None, None] * block_mean(drift, CELLS_A_PIXEL)
    return pixels


def block_mean(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Mean over squares of ``size`` x ``size`` cells."""
    # Sums of strided slices take a quarter of the time of reshape and sum.
    rows = values[0::size] + values[1::size]
    for step in range(2, size):
        rows += values[step::size]
    squares = rows[:, 0::size] + rows[:, 1::size]
    for step in range(2, size):
        squares += rows[:, step::size]
    squares /= size * size
    return squares


def blur(pixels: NDArray[np.float32], spill: float) -> NDArray[np.float32]:
    """Point spread of the sensor: each pixel gives ``spill`` of its light to each neighbour.

    Args:
        pixels: (bands, H, W)
        spill: Share that goes to each of the two neighbours along an axis, 0 to 0.25.
    """
    for axis in (1, 2):
        padded = np.pad(pixels, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        before = padded[:, :-2] if axis == 1 else padded[:, :, :-2]
        behind = padded[:, 2:] if axis == 1 else padded[:, :, 2:]
        pixels = (1 - 2 * spill) * pixels + spill * (before + behind)
    return pixels.astype(np.float32)
