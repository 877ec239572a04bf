"""Copies of bytes within compiled loops."""

from __future__ import annotations

from geoconvlora.vector.compiled import part_of_loops


@part_of_loops("void(u1[::1], u1[::1])")
def put_bytes(to, of):  # type: ignore[no-untyped-def]
    """Copy; of two views from their beginnings this is one call of the processor's fastest way."""
    for place in range(len(of)):
        to[place] = of[place]
