from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import affinity

from geoconvlora.explore.page.packing import PackedPolygons, as_varints, pack_polygons


def numbers_in(text: bytes) -> Iterator[int]:
    """The numbers, read as the page's script reads them."""
    value = shift = 0
    for byte in text:
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            yield value
            value = shift = 0


def unpacked(
    packed: PackedPolygons, origin: tuple[float, float], quantum: tuple[float, float]
) -> list[shapely.MultiPolygon]:
    rings, vertices = numbers_in(packed.rings), numbers_in(packed.vertices)
    steps = numbers_in(packed.steps)
    x = y = 0

    def ring() -> list[tuple[float, float]]:
        nonlocal x, y
        corners = []
        for _ in range(next(vertices)):
            dx, dy = ((n >> 1) ^ -(n & 1) for n in (next(steps), next(steps)))
            x, y = x + dx, y + dy
            corners.append((origin[0] + x * quantum[0], origin[1] - y * quantum[1]))
        return corners

    def part() -> shapely.Polygon:
        shell, *holes = [ring() for _ in range(next(rings))]
        return shapely.Polygon(shell, holes)

    return [
        shapely.MultiPolygon([part() for _ in range(parts)]) for parts in numbers_in(packed.parts)
    ]


@given(st.lists(st.integers(0, 2**53 - 1)))
def test_numbers_are_read_back(numbers: list[int]) -> None:
    assert list(numbers_in(as_varints(np.array(numbers, np.int64)))) == numbers


@given(st.lists(st.tuples(st.integers(-99, 9999), st.integers(-99, 9999)), min_size=1, max_size=9))
def test_polygons_are_read_back_to_half_a_step(corners: list[tuple[int, int]]) -> None:
    ground = shapely.box(0, 0, 5, 4).difference(shapely.box(1, 1, 2, 3))
    two = shapely.MultiPolygon([ground, shapely.box(6, 0, 7, 1)])
    polygons = np.array(
        [affinity.translate(two if x % 2 else ground, x / 7, y / 3) for x, y in corners]
    )
    origin, quantum = (-50.0, 4000.0), (0.25, 0.5)
    found = unpacked(pack_polygons(polygons, origin, quantum), origin, quantum)
    assert len(found) == len(polygons)
    for ours, theirs in zip(polygons, found, strict=True):
        assert len(shapely.get_parts(ours)) == len(theirs.geoms)
        error = np.abs(shapely.get_coordinates(ours) - shapely.get_coordinates(theirs))
        assert (error.max(axis=0) <= np.array(quantum) / 2 + 1e-9).all()


def test_no_polygons_are_no_bytes() -> None:
    assert pack_polygons(np.array([], object), (0, 0), (1, 1)) == PackedPolygons(b"", b"", b"", b"")
