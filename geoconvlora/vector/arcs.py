"""Rows of labels to the boundary graph: chains of corners between nodes, and what lies beside them.

A lattice point is where four pixels meet. Where the outline of regions turns there it is a corner,
where three or four edges meet it is a node. The scan goes once over the pixels, row by row, and
keeps of earlier rows only the chains that hang down into the next one. A chain is a linked list of
vertices; it is complete, an arc, when both of its ends are at nodes or when it closes on itself.
The same scan joins pixels of equal label to 4-connected components (union-find).

Only the order of pixels decides what is done when, so heights of feeds cannot matter.
"""

from __future__ import annotations

import numpy as np

from geoconvlora.vector.compiled import compiled, part_of_loops

OUTSIDE = -(2**63)
"""Label beyond the raster's edge."""

# Slots of a node, counter-clockwise as seen on the screen.
UP, LEFT, DOWN, RIGHT = 0, 1, 2, 3

# A vertex: column, row, owner (node * 4 + slot, or -1), and two links. A handle is a link's
# place, vertex * 2 + side. The link of an open handle, and of one at a node while the chain is
# open, holds the handle of the chain's other end; that of a free vertex holds the next free one.
VERTEX_FIELDS = 5
# A node: arc * 2 + end in each slot (-1: none), and how many arcs there still are.
NODE_FIELDS = 5
NODE_ARCS = 4
# A node's key, which is its lattice point's number, and that of the node at the end of each
# complete arc (-1: none).
KEY_FIELDS = 5
# A complete chain: handle of its start, component on its left, component on its right.
DONE_FIELDS = 3

# Numbers that the scan keeps between rows.
ROW = 0
VERTICES, FREE_VERTEX, LIVE_VERTICES = 1, 2, 3
NODES, FREE_NODE, LIVE_NODES = 4, 5, 6
COMPONENTS, CHAINS = 7, 8
STRIPE, STRIPE_ROW = 9, 10
STATE_FIELDS = 11


@part_of_loops("i8(i8, i8, i8, i4[:, ::1], i8[::1])")
def _new_vertex(x, y, owner, vertices, state):  # type: ignore[no-untyped-def]
    vertex = state[FREE_VERTEX]
    if vertex >= 0:
        state[FREE_VERTEX] = vertices[vertex, 3]
    else:
        vertex = state[VERTICES]
        state[VERTICES] += 1
    state[LIVE_VERTICES] += 1
    vertices[vertex, 0] = x
    vertices[vertex, 1] = y
    vertices[vertex, 2] = owner
    return vertex


@part_of_loops("void(i8, i4[:, ::1], i8[::1])")
def free_vertex(vertex, vertices, state):  # type: ignore[no-untyped-def]
    """Give a vertex back."""
    vertices[vertex, 3] = state[FREE_VERTEX]
    state[FREE_VERTEX] = vertex
    state[LIVE_VERTICES] -= 1


@part_of_loops("i8(i8, i8, i4[:, ::1], i8[:, ::1], i8[::1])")
def _new_node(key, edges, nodes, keys, state):  # type: ignore[no-untyped-def]
    node = state[FREE_NODE]
    if node >= 0:
        state[FREE_NODE] = nodes[node, 0]
    else:
        node = state[NODES]
        state[NODES] += 1
    state[LIVE_NODES] += 1
    keys[node, 0] = key
    for slot in range(4):
        nodes[node, slot] = -1
        keys[node, 1 + slot] = -1
    nodes[node, NODE_ARCS] = edges
    return node


@part_of_loops("void(i8, i8, i4[:, ::1], i8[::1])")
def leave_node(node, slot, nodes, state):  # type: ignore[no-untyped-def]
    """Take an arc away from a node, and the node with its last one."""
    nodes[node, slot] = -1
    nodes[node, NODE_ARCS] -= 1
    if nodes[node, NODE_ARCS] == 0:
        nodes[node, 0] = state[FREE_NODE]
        state[FREE_NODE] = node
        state[LIVE_NODES] -= 1


@part_of_loops("void(i8, i8, i4[:, ::1])")
def _link(handle, other, vertices):  # type: ignore[no-untyped-def]
    vertices[handle >> 1, 3 + (handle & 1)] = other


@part_of_loops("i8(i8, i4[:, ::1])")
def linked(handle, vertices):  # type: ignore[no-untyped-def]
    """What a handle is linked to."""
    return vertices[handle >> 1, 3 + (handle & 1)]


@part_of_loops("i8(i8, i8, i4[:, ::1])")
def _extend(handle, vertex, vertices):  # type: ignore[no-untyped-def]
    """Append a corner to an open chain; its new open handle is returned."""
    mate = linked(handle, vertices)
    _link(handle, 2 * vertex, vertices)
    _link(2 * vertex, handle, vertices)
    _link(2 * vertex + 1, mate, vertices)
    _link(mate, 2 * vertex + 1, vertices)
    return 2 * vertex + 1


@part_of_loops("b1(i8, i4[:, ::1])")
def _at_node(handle, vertices):  # type: ignore[no-untyped-def]
    return vertices[handle >> 1, 2] >= 0 and handle & 1 == 0


@part_of_loops("void(i8, i8, i8, i4[:, ::1], i8[::1])")
def _complete(handle, left, right, chains, state):  # type: ignore[no-untyped-def]
    done = state[CHAINS]
    chains[done, 0] = handle
    chains[done, 1] = left
    chains[done, 2] = right
    state[CHAINS] += 1


@part_of_loops("void(i8, i8, i8, i8, i4[:, ::1], i4[:, ::1], i8[::1])")
def _arrive(handle, vertex, left, right, vertices, chains, state):  # type: ignore[no-untyped-def]
    """End an open chain at a node's vertex."""
    mate = linked(handle, vertices)
    _link(handle, 2 * vertex + 1, vertices)
    _link(2 * vertex + 1, handle, vertices)
    _link(2 * vertex, mate, vertices)
    _link(mate, 2 * vertex, vertices)
    if _at_node(mate, vertices):
        _complete(mate, left, right, chains, state)


@part_of_loops("i8(i8, i4[:, ::1])")
def _depart(vertex, vertices):  # type: ignore[no-untyped-def]
    """Begin a chain at a node's vertex; its open handle is returned."""
    _link(2 * vertex, 2 * vertex + 1, vertices)
    _link(2 * vertex + 1, 2 * vertex, vertices)
    return 2 * vertex + 1


@part_of_loops("void(i8, i8, i8, i8, i8, i4[:, ::1], i4[:, ::1], i8[::1])")
def _merge(above, before, vertex, left, right, vertices, chains, state):  # type: ignore[no-untyped-def]
    """Join two open chains, or the ends of one, at a corner below and right of a pixel."""
    mate_above = linked(above, vertices)
    mate_before = linked(before, vertices)
    _link(above, 2 * vertex, vertices)
    _link(2 * vertex, above, vertices)
    _link(before, 2 * vertex + 1, vertices)
    _link(2 * vertex + 1, before, vertices)
    if mate_above == before:
        _complete(2 * vertex, left, right, chains, state)
        return
    _link(mate_above, mate_before, vertices)
    _link(mate_before, mate_above, vertices)
    if _at_node(mate_above, vertices) and _at_node(mate_before, vertices):
        _complete(mate_above, left, right, chains, state)


@part_of_loops("i8(i8, i4[::1])")
def root(component, parent):  # type: ignore[no-untyped-def]
    """The least component that this one is joined to."""
    while parent[component] != component:
        parent[component] = parent[parent[component]]
        component = parent[component]
    return component


@part_of_loops("i8(i8, i8, i4[::1], i8[::1], i8[::1], f8[::1], f8[::1])")
def _union(one, other, parent, pixels, filled, weight, least):  # type: ignore[no-untyped-def]
    one, other = root(one, parent), root(other, parent)
    if one == other:
        return one
    low, high = min(one, other), max(one, other)
    parent[high] = low
    pixels[low] += pixels[high]
    filled[low] += filled[high]
    weight[low] += weight[high]
    least[low] = min(least[low], least[high])
    return low


@compiled(
    "i8(i8[:, ::1], f4[:, ::1], i8[::1], i4[::1], i4[::1], i4[:, ::1], i4[:, ::1], i8[:, ::1],"
    "i4[::1], i8[::1], i8[::1], i8[::1], f8[::1], f8[::1], i4[:, ::1], u8[:, ::1], i8[::1])"
)
def scan(  # type: ignore[no-untyped-def]
    rows,
    weights,
    front,
    components,
    hanging,
    vertices,
    nodes,
    keys,
    parent,
    label_of,
    pixels,
    filled,
    weight,
    least,
    chains,
    live,
    state,
):
    """Take rows until the pools could overflow.

    Args:
        rows: ``(h, W + 1)`` labels, the last column ``OUTSIDE``.
        weights: ``(h, W)``, NaN for pixels that a region took in; ``(h, 0)`` where nothing is
            averaged.
        front: ``(W + 1,)`` labels of the row above.
        components: ``(W + 1,)`` components of the row above.
        hanging: ``(W + 1,)`` open handle of the edge that comes from above; -1: none.
        vertices: Pool, see ``VERTEX_FIELDS``.
        nodes: Pool, see ``NODE_FIELDS``.
        keys: Pool, see ``KEY_FIELDS``.
        parent: Union-find of components; 0 is outside.
        label_of: Label of each component.
        pixels: Pixels of each component.
        filled: Pixels that it took in, which count for nothing else; 0 at first.
        weight: Sum of their weights.
        least: Smallest of their weights; infinite where there are none.
        chains: Complete chains in the order of completion, see ``DONE_FIELDS``.
        live: A bit for each lattice point of the stripe that is a corner or node.
        state: See ``STATE_FIELDS``.

    Returns:
        How many rows were taken.
    """
    columns = rows.shape[1]
    weighed = weights.shape[1] > 0
    stripe = state[STRIPE]
    for row in range(rows.shape[0]):
        room = len(vertices) - state[LIVE_VERTICES] >= 4 * columns
        room = room and len(nodes) - state[LIVE_NODES] >= columns
        room = room and len(parent) - state[COMPONENTS] >= columns
        if not (room and len(chains) - state[CHAINS] >= 2 * columns):
            return row
        y = state[ROW]
        on_line = stripe > 0 and y > 0 and y % stripe == 0
        live_row = y - state[STRIPE_ROW] if stripe > 0 else 0
        before = -1
        above_left, below_left = OUTSIDE, OUTSIDE
        part_above_left, part_left = 0, 0
        run = 0
        for x in range(columns):
            above, below = front[x], rows[row, x]
            part_above = components[x]
            if (
                below == below_left
                and below == above
                and below == above_left
                and part_left == part_above
                and hanging[x] < 0
            ):
                # Inside a region nothing changes.
                part_above_left = part_above
                continue
            if below == below_left:
                part = part_left
                if below == above and part_left != part_above:
                    part = _union(part_left, part_above, parent, pixels, filled, weight, least)
            else:
                if below_left != OUTSIDE:
                    owner = root(part_left, parent)
                    pixels[owner] += x - run
                    if weighed:
                        total, given = 0.0, 0
                        for pixel in range(run, x):
                            if np.isnan(weights[row, pixel]):
                                given += 1
                                continue
                            total += weights[row, pixel]
                            least[owner] = min(least[owner], weights[row, pixel])
                        weight[owner] += total
                        pixels[owner] -= given
                        filled[owner] += given
                run = x
                if below == above:
                    part = part_above
                else:
                    part = state[COMPONENTS]
                    state[COMPONENTS] += 1
                    parent[part] = part
                    label_of[part] = below
                    pixels[part] = 0
                    filled[part] = 0
                    weight[part] = 0.0
                    least[part] = np.inf
            front[x] = below
            components[x] = part
            up = hanging[x]
            right, down = above != below, below_left != below
            if right or down or up >= 0 or before >= 0:
                edges = int(up >= 0) + int(before >= 0) + int(down) + int(right)
                straight = edges == 2 and ((up >= 0 and down) or (before >= 0 and right))
                # A relabelled edge from above that parts nothing any more.
                stale = up >= 0 and above_left == above
                frame = (x == 0 or x == columns - 1) and not (up >= 0 and down)
                if edges == 2 and not stale and not frame and not (on_line and up >= 0):
                    if not straight:
                        vertex = _new_vertex(x, y, -1, vertices, state)
                        if stripe > 0:
                            live[live_row, x >> 6] |= np.uint64(1) << np.uint64(x & 63)
                        if up >= 0 and right:
                            before = _extend(up, vertex, vertices)
                            hanging[x] = -1
                        elif up >= 0:
                            _merge(
                                up, before, vertex, part_above, part_above_left,
                                vertices, chains, state,
                            )  # fmt: skip
                            before = -1
                            hanging[x] = -1
                        elif before >= 0:
                            hanging[x] = _extend(before, vertex, vertices)
                            before = -1
                        else:
                            _link(2 * vertex, 2 * vertex + 1, vertices)
                            _link(2 * vertex + 1, 2 * vertex, vertices)
                            hanging[x] = 2 * vertex
                            before = 2 * vertex + 1
                else:
                    node = _new_node(y * columns + x, edges, nodes, keys, state)
                    if stripe > 0:
                        live[live_row, x >> 6] |= np.uint64(1) << np.uint64(x & 63)
                    if up >= 0:
                        vertex = _new_vertex(x, y, 4 * node + UP, vertices, state)
                        _arrive(up, vertex, part_above, part_above_left, vertices, chains, state)
                        hanging[x] = -1
                    if before >= 0:
                        vertex = _new_vertex(x, y, 4 * node + LEFT, vertices, state)
                        _arrive(before, vertex, part_above_left, part_left, vertices, chains, state)
                        before = -1
                    if down:
                        vertex = _new_vertex(x, y, 4 * node + DOWN, vertices, state)
                        hanging[x] = _depart(vertex, vertices)
                    if right:
                        vertex = _new_vertex(x, y, 4 * node + RIGHT, vertices, state)
                        before = _depart(vertex, vertices)
            above_left, below_left = above, below
            part_above_left, part_left = part_above, part
        state[ROW] += 1
    return rows.shape[0]
