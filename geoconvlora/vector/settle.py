"""Complete chains of the boundary graph to simplified arcs in flat arrays."""

from __future__ import annotations

import numpy as np

from geoconvlora.vector.arcs import CHAINS, STRIPE, STRIPE_ROW, free_vertex, leave_node, linked
from geoconvlora.vector.compiled import compiled, part_of_loops
from geoconvlora.vector.simplify import simplify
from geoconvlora.vector.smooth import cut_of, place_of

# An arc: its first vertex, the number of its vertices (a ring's last is its first), components on
# its left and right, where it starts and ends (node * 4 + slot, or -1), its lattice length, and
# whether one of its sides was given to another region.
ARC_FIELDS = 8
FIRST, COUNT, LEFT_PART, RIGHT_PART, START, END, LENGTH, ADOPTED = range(ARC_FIELDS)


@part_of_loops("b1(i8, i8, i4[:, ::1], i8[:, ::1])")
def _is_twin(start, end, nodes, keys):  # type: ignore[no-untyped-def]
    """Whether an earlier arc joins the same two nodes."""
    node, slot = start >> 2, start & 3
    for other in range(4):  # noqa: SIM110 - numba compiles no generators
        if other != slot and keys[node, 1 + other] == keys[end >> 2, 0]:
            return True
    return False


@compiled(
    "i8(i4[:, ::1], i4[:, ::1], i4[:, ::1], i8[:, ::1], u8[:, ::1], i4[:, ::1], i4[:, ::1],"
    "u1[::1], i8, i8[::1], f8, f8, f8, f8)"
)
def settle(  # type: ignore[no-untyped-def]
    chains,
    vertices,
    nodes,
    keys,
    live,
    arcs,
    points,
    cuts,
    count,
    state,
    limit,
    reach,
    end_x,
    end_y,
):
    """Turn all complete chains into arcs, in the order of their completion.

    That order is the raster's, so it does not matter how many are waiting at a time: a chain meets
    arcs that were completed before it simplified, and all others as they are.

    Args:
        chains: From :func:`geoconvlora.vector.arcs.scan`.
        vertices: Pool; the chains' vertices are given back.
        nodes: Pool; learns the arcs' numbers.
        keys: Pool; learns the arcs' other ends.
        live: Bits of live lattice points.
        arcs: ``(A, ARC_FIELDS)``, the first ``count`` in use; with room.
        points: ``(P, 2)`` columns and rows; with room.
        cuts: ``(P,)`` how each is rounded, see :mod:`geoconvlora.vector.smooth`; with room.
        count: Arcs so far.
        state: Of the scan.
        limit: Twice the area of the largest triangle that may be cut off; negative: none.
        reach: Pixels over which corners are rounded; 0: they are not.
        end_x: Where the last column really ends.
        end_y: Where the last row really ends.

    Returns:
        Number of arcs.
    """
    stripe, first = state[STRIPE], state[STRIPE_ROW]
    # No chain has more vertices than the pool. Memory that is not written to takes no room.
    room = len(vertices)
    x, y = np.empty(room, np.float64), np.empty(room, np.float64)
    behind, ahead = np.empty(room, np.int64), np.empty(room, np.int64)
    order, heap = np.empty(room, np.int64), np.empty(3 * room, np.int64)
    # Arcs that are straight can give no vertex, so they come first among twins.
    for chain in range(state[CHAINS]):
        start = chains[chain, 0] >> 1
        end = linked(chains[chain, 0] ^ 1, vertices) >> 1
        if vertices[start, 2] >= 0 and vertices[end, 2] >= 0:
            one, other = vertices[start, 2], vertices[end, 2]
            keys[one >> 2, 1 + (one & 3)] = keys[other >> 2, 0]
            keys[other >> 2, 1 + (other & 3)] = keys[one >> 2, 0]
    at = 0
    if count > 0:
        at = arcs[count - 1, FIRST] + arcs[count - 1, COUNT]
    for chain in range(state[CHAINS]):
        handle = chains[chain, 0]
        ring = vertices[handle >> 1, 2] < 0
        start, end = vertices[handle >> 1, 2], -1
        origin, number, length = handle >> 1, 0, 0
        while True:
            vertex = handle >> 1
            x[number] = vertices[vertex, 0]
            y[number] = vertices[vertex, 1]
            if number > 0:
                length += int(abs(x[number] - x[number - 1]) + abs(y[number] - y[number - 1]))
            number += 1
            if number > 1 and vertices[vertex, 2] >= 0:
                end = vertices[vertex, 2]
                free_vertex(vertex, vertices, state)
                break
            handle = linked(handle ^ 1, vertices)
            if vertex != origin or not ring:
                free_vertex(vertex, vertices, state)
            if handle >> 1 == origin:
                break
        if ring:
            length += int(abs(x[number - 1] - x[0]) + abs(y[number - 1] - y[0]))
            free_vertex(origin, vertices, state)
        kept = number
        if limit >= 0 and number > 2:
            least = 3
            if not ring:
                least = 2
                if start >> 2 == end >> 2:
                    least = 4
                elif _is_twin(start, end, nodes, keys) or (
                    # A twin could lie along the line, and belong to the stripe below.
                    y[0] == y[number - 1] and y[0] > first and y[0] % stripe == 0
                ):
                    least = 3
            for vertex in range(number):
                x[vertex] = min(x[vertex], end_x)
                y[vertex] = min(y[vertex], end_y)
            kept = simplify(
                x, y, number, ring, least, limit, live, first, end_x, end_y,
                behind, ahead, order, heap,
            )  # fmt: skip
        arcs[count, FIRST] = at
        for vertex in range(number):
            if kept == number or behind[vertex] != -2:
                points[at, 0] = np.int32(np.ceil(x[vertex]))
                points[at, 1] = np.int32(np.ceil(y[vertex]))
                at += 1
        if ring:
            points[at, 0] = points[arcs[count, FIRST], 0]
            points[at, 1] = points[arcs[count, FIRST], 1]
            at += 1
        else:
            keys[start >> 2, 1 + (start & 3)] = keys[end >> 2, 0]
            keys[end >> 2, 1 + (end & 3)] = keys[start >> 2, 0]
            nodes[start >> 2, start & 3] = 2 * count
            nodes[end >> 2, end & 3] = 2 * count + 1
        begin = arcs[count, FIRST]
        arcs[count, COUNT] = at - begin
        for point in range(begin, at):
            cuts[point] = 0
        if reach > 0:
            _cut_corners(points, cuts, begin, at, ring, reach, live, first, end_x, end_y)
        arcs[count, LEFT_PART] = chains[chain, 1]
        arcs[count, RIGHT_PART] = chains[chain, 2]
        arcs[count, START] = start
        arcs[count, END] = end
        arcs[count, LENGTH] = length
        arcs[count, ADOPTED] = 0
        count += 1
    state[CHAINS] = 0
    return count


@part_of_loops("void(i4[:, ::1], u1[::1], i8, i8, b1, f8, u8[:, ::1], i8, f8, f8)")
def _cut_corners(points, cuts, begin, end, ring, reach, live, first, end_x, end_y):  # type: ignore[no-untyped-def]
    """Decide how the corners of an arc are rounded; ends at nodes stay."""
    for point in range(begin if ring else begin + 1, end - 1):
        before = point - 1 if point > begin else end - 2
        ax, ay = place_of(before, points, end_x, end_y)
        x, y = place_of(point, points, end_x, end_y)
        bx, by = place_of(point + 1, points, end_x, end_y)
        cuts[point] = cut_of(ax, ay, x, y, bx, by, reach, live, first, end_x, end_y)
    if ring:
        cuts[end - 1] = cuts[begin]


@compiled("i8(i4[:, ::1], i8, i4[:, ::1], u1[::1], i4[:, ::1], i4[::1], b1[::1], i4[::1], i8[::1])")
def drop_arcs(  # type: ignore[no-untyped-def]
    arcs, count, points, cuts, nodes, parent, alive, number, state
):
    """Forget arcs that no region can need any more; those that stay keep their order.

    Args:
        arcs: ``(A, ARC_FIELDS)``, the first ``count`` in use.
        count: Arcs so far.
        points: ``(P, 2)``.
        cuts: ``(P,)``.
        nodes: Pool.
        parent: Root of each component.
        alive: Whether a root's outline may still be asked for.
        number: New number of each root; 0: gone.
        state: Of the scan.

    Returns:
        Number of arcs.
    """
    kept, at = 0, 0
    for arc in range(count):
        left, right = parent[arcs[arc, LEFT_PART]], parent[arcs[arc, RIGHT_PART]]
        start, end = arcs[arc, START], arcs[arc, END]
        if left == right or not (alive[left] or alive[right]):
            if start >= 0:
                leave_node(start >> 2, start & 3, nodes, state)
                leave_node(end >> 2, end & 3, nodes, state)
            continue
        first, length = arcs[arc, FIRST], arcs[arc, COUNT]
        for vertex in range(length):
            points[at + vertex, 0] = points[first + vertex, 0]
            points[at + vertex, 1] = points[first + vertex, 1]
            cuts[at + vertex] = cuts[first + vertex]
        for field in range(COUNT, ARC_FIELDS):
            arcs[kept, field] = arcs[arc, field]
        arcs[kept, FIRST] = at
        arcs[kept, LEFT_PART] = number[left]
        arcs[kept, RIGHT_PART] = number[right]
        if start >= 0:
            nodes[start >> 2, start & 3] = 2 * kept
            nodes[end >> 2, end & 3] = 2 * kept + 1
        at += length
        kept += 1
    return kept
