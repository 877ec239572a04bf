"""Marker watershed that reaches a known distance, so that a band of rows gets what the scene gets.

A seed offers every pixel the paths that lead to it over pixels of the mask, one step at a time to
one of four neighbours. The cost of a path is compared in this order:

1. its highest pixel;
2. how many of its pixels are as high as that, from where it first rose to it;
3. how high it was before that rise;
4. how many lower pixels follow behind the last of those as high as that.

The first makes it a watershed (a pixel goes to a seed from which the highest pixel on the way is as
low as can be); the others share out plateaus and crests as water would that rises evenly. No path
may have more than ``reach`` steps. A pixel's *parent* is the neighbour through which its cheapest
path comes; between equal ones, the neighbour that is cheaper itself, then the one above, left,
right, below. A pixel belongs to the seed at the end of its chain of parents, if that has no more
than ``reach`` links.

**Why bands equal the scene.** Costs do not depend on an order of work. Going one step on keeps the
order of costs and always makes a path dearer, so costs after k rounds are those of the cheapest
paths of at most k steps, and they depend on pixels at most k steps away. A chain of ``reach``
parents stays within ``reach`` steps, each parent is chosen by the costs of four neighbours, and
those look another ``reach`` steps: pixels further than ``halo_of(reach)`` rows change nothing.
Numbers of seeds enter nowhere.

**Why objects are connected.** A parent is cheaper than its child, so chains have no circle and end
in a seed, and every pixel of the chain belongs to the same seed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from geoconvlora.vector.compiled import compiled, part_of_loops
from geoconvlora.vector.queues import longer

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int32]
Costs = NDArray[np.uint32]
Pixels = NDArray[np.int64]

MAX_REACH = 254
"""Steps are counted in a byte, whose last value stands for more."""

_FAR = np.uint32(0xFFFFFFFF)

_COLUMNS = 4096
"""Columns that are flooded at a time."""


def halo_of(reach: int) -> int:
    """Rows above and below a band that a flood must see to be that of the whole raster."""
    return 2 * reach + 1


def flood(
    heights: NDArray[np.uint8],
    seeds: NDArray[np.int32],
    inside: NDArray[np.bool_],
    reach: int,
    rows: slice | None = None,
) -> NDArray[np.int32]:
    """Share out the mask's pixels among seeds.

    Args:
        heights: ``(H, W)``.
        seeds: ``(H, W)`` number of the seed at each of its pixels, 0 elsewhere.
        inside: ``(H, W)`` pixels that may be shared out; seeds outside it are ignored.
        reach: Steps to which a seed reaches, 1 to ``MAX_REACH``.
        rows: Those that are wanted; None: all.

    Returns:
        ``(h, W)`` number of the seed that each pixel belongs to, 0 for none.

    Example:
        >>> heights = np.array([[0, 3, 1, 0]], np.uint8)
        >>> flood(heights, np.array([[7, 0, 0, 9]], np.int32), heights < 9, 10).tolist()
        [[7, 7, 9, 9]]
    """
    if not 1 <= reach <= MAX_REACH:
        raise ValueError(f"reach {reach} is not within 1 and {MAX_REACH}")
    halo, width = halo_of(reach), heights.shape[1]
    rows = rows or slice(None)
    found = np.empty(seeds[rows].shape, np.int32)
    # What bands of rows may be cut from, columns may be too: here for the sake of memory.
    for first in range(0, width, _COLUMNS):
        left = max(0, first - halo)
        seen = (slice(None), slice(left, first + _COLUMNS + halo))
        part = _flooded(heights[seen], seeds[seen], inside[seen], reach)[rows]
        found[:, first : first + _COLUMNS] = part[:, first - left : first - left + _COLUMNS]
    return found


def _flooded(
    heights: NDArray[np.uint8],
    seeds: NDArray[np.int32],
    inside: NDArray[np.bool_],
    reach: int,
) -> NDArray[np.int32]:
    """Do as :func:`flood`, in one piece."""
    height, width = heights.shape
    # In a frame outside the mask, so that no step needs to look where the raster ends.
    cells = np.zeros((height + 2, width + 2), np.uint8)
    ground = np.zeros_like(cells)
    labels = np.zeros(cells.shape, np.int32)
    middle = (slice(1, -1), slice(1, -1))
    cells[middle] = inside
    ground[middle] = heights
    np.multiply(seeds, inside, out=labels[middle])
    # Pixels outside the mask pass as done with.
    cost = np.where(cells, _FAR, np.uint32(0))
    links = np.zeros_like(cells)
    raster = (ground.ravel(), cells.ravel(), labels.ravel())
    _spread(ground.ravel(), labels.ravel(), cost.ravel(), links.ravel(), width + 2)
    cost[cells == 0] = _FAR
    far = links > reach
    if far.any():
        # What decides about these lies within `reach` of them.
        near = cells & maximum_filter(far.view(np.uint8), 2 * reach + 1)
        again = np.full(near.shape, _FAR, np.uint32)
        seen = (ground.ravel(), near.ravel(), (labels * near).ravel())
        _rounds(*seen, again.ravel(), width + 2, reach)
        np.copyto(cost, again, where=far)
    links[:] = 0
    _follow(*raster, cost.ravel(), links.ravel(), width + 2, reach)
    return labels[middle]


@part_of_loops("uint32(uint32, uint8)")
def _onwards(cost: np.uint32, height: np.uint8) -> np.uint32:
    """Cost of a path that goes on to a pixel: highest, so many of it, before it, lower behind.

    A byte each; counts stop at 255, which no path of at most ``MAX_REACH`` steps exceeds.
    """
    highest = cost >> 24
    if height > highest:
        return np.uint32((np.uint32(height) << 24) | (1 << 16) | (highest << 8))
    if height == highest:
        level = cost & 0xFFFFFF00
        return np.uint32(level if (cost >> 16) & 255 == 255 else level + (1 << 16))
    return np.uint32(cost if cost & 255 == 255 else cost + 1)


@part_of_loops("void(int64[:, ::1], int64, int32[::1], int64)")
def _push(queues: Pixels, queue: int, after: Numbers, at: int) -> None:
    """Append a pixel to a queue, which is a chain of pixels from its first to its last."""
    after[at] = -1
    if queues[queue, 0] < 0:
        queues[queue, 0] = at
    else:
        after[queues[queue, 1]] = at
    queues[queue, 1] = at


@part_of_loops("void(int64[:, ::1], int64, int64)")
def _replace(queues: Pixels, queue: int, other: int) -> None:
    """Give a queue the pixels of another one."""
    queues[queue, 0], queues[queue, 1] = queues[other, 0], queues[other, 1]


@compiled("void(uint8[::1], int32[::1], uint32[::1], uint8[::1], int64)")
def _spread(ground: Bytes, labels: Numbers, cost: Costs, links: Bytes, stride: int) -> None:
    """Cheapest paths of any length, each pixel once, and the steps of one such path (up to 255).

    Pixels are dealt with in the order of their costs, so the first path offered is a cheapest one.
    Queues keep that order without sorting: rises to a level come in from lower levels one after
    the other, and what a group of equal "before" passes on stays behind the group before it.
    """
    steps = np.array([-stride, -1, 1, stride])
    after = np.empty(len(ground), np.int32)
    # Rises to each level; seeds of each level; then what is due now, next, and the group at work.
    queues = np.full((515, 2), -1, np.int64)
    now, coming, group = 512, 513, 514
    for at in range(len(ground)):
        if labels[at] == 0:
            continue
        # "Before" is its own height: whoever rises to that later was lower before.
        own = np.uint32(ground[at])
        cost[at] = (own << 24) | (own << 8)
        for step in steps:
            if cost[at + step] == _FAR and labels[at + step] == 0:
                _push(queues, 256 + ground[at], after, at)
                break
    for level in range(256):
        _replace(queues, now, 256 + level)
        rises = queues[level, 0] >= 0
        while queues[now, 0] >= 0 or rises:
            while queues[now, 0] >= 0:
                queues[group, 0] = -1
                before = (cost[queues[now, 0]] >> 8) & 255
                while queues[now, 0] >= 0 and (cost[queues[now, 0]] >> 8) & 255 == before:
                    at = queues[now, 0]
                    queues[now, 0] = after[at]
                    _push(queues, group, after, at)
                while queues[group, 0] >= 0:
                    at = queues[group, 0]
                    for step in steps:
                        to = at + step
                        if cost[to] != _FAR:
                            continue
                        cost[to] = _onwards(cost[at], ground[to])
                        links[to] = min(links[at], 254) + 1
                        if ground[to] > level:
                            _push(queues, ground[to], after, to)
                        elif ground[to] == level:
                            _push(queues, coming, after, to)
                        else:
                            _push(queues, group, after, to)
                    queues[group, 0] = after[at]
            if rises:
                # Seeds of this level have passed on "before" = level, which comes last.
                rises = False
                _replace(queues, now, level)
                if queues[coming, 0] >= 0:
                    after[queues[now, 1]] = queues[coming, 0]
                    queues[now, 1] = queues[coming, 1]
            else:
                _replace(queues, now, coming)
            queues[coming, 0] = -1


@compiled("void(uint8[::1], uint8[::1], int32[::1], uint32[::1], int64, int64)")
def _rounds(
    ground: Bytes, cells: Bytes, labels: Numbers, cost: Costs, stride: int, reach: int
) -> None:
    """Cheapest paths of at most ``reach`` steps, in rounds of one step."""
    steps = np.array([-stride, -1, 1, stride])
    front = np.empty(1024, np.int64)
    count = 0
    for at in range(len(cells)):
        if labels[at] != 0:
            own = np.uint32(ground[at])
            cost[at] = (own << 24) | (own << 8)
            if count == len(front):
                front = longer(front)
            front[count] = at
            count += 1
    reached = np.zeros(len(cells), np.uint8)
    coming = np.empty(1024, np.int64)
    for turn in range(1, reach + 1):
        if count == 0:
            break
        # Costs of the round before: a pixel that is improved in this one moves on in the next.
        before = np.empty(count, np.uint32)
        for i in range(count):
            before[i] = cost[front[i]]
        fresh = 0
        for i in range(count):
            for step in steps:
                to = front[i] + step
                if cells[to] == 0 or labels[to] != 0:
                    continue
                offered = _onwards(before[i], ground[to])
                if offered < cost[to]:
                    cost[to] = offered
                    if reached[to] != turn:
                        reached[to] = turn
                        if fresh == len(coming):
                            coming = longer(coming)
                        coming[fresh] = to
                        fresh += 1
        front, coming = coming, front
        count = fresh


@compiled("void(uint8[::1], uint8[::1], int32[::1], uint32[::1], uint8[::1], int64, int64)")
def _follow(
    ground: Bytes,
    cells: Bytes,
    labels: Numbers,
    cost: Costs,
    links: Bytes,
    stride: int,
    reach: int,
) -> None:
    """Give every pixel the label at the end of its chain of parents."""
    steps = np.array([-stride, -1, 1, stride])
    chain = np.empty(1024, np.int64)
    for start in range(len(cells)):
        if cells[start] == 0 or labels[start] != 0 or links[start] != 0 or cost[start] == _FAR:
            continue
        count, at = 0, start
        # Up to what is known already: a seed, or a pixel with its links counted.
        while labels[at] == 0 and links[at] == 0:
            if count == len(chain):
                chain = longer(chain)
            chain[count] = at
            count += 1
            parent, best = at, _FAR
            for step in steps:
                to = at + step
                if cells[to] == 0 or cost[to] == _FAR:
                    continue
                offered = _onwards(cost[to], ground[at])
                if offered < best or (offered == best and cost[to] < cost[parent]):
                    parent, best = to, offered
            at = parent
        for i in range(count - 1, -1, -1):
            pixel = chain[i]
            # A count of 255 may stand for more, and is refused as a parent's by every reach.
            links[pixel] = min(links[at], 254) + 1
            if links[at] < reach:
                labels[pixel] = labels[at]
            at = pixel
