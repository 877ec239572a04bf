"""How samples become batches and optimiser steps, also where memory is small."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Batches:
    """How a process parts an epoch's samples into batches and optimiser steps."""

    size: int
    """Samples in a batch."""
    accumulate: int
    """Batches that make one optimiser step."""
    count: int
    """Batches in an epoch."""

    @property
    def samples(self) -> int:
        """Samples that a process sees in an epoch; those of an incomplete batch are left out."""
        return self.size * self.count

    def smaller(self) -> Batches | None:
        """Batches of half the size or less, with the same samples in each optimiser step.

        Sizes are divisors of the present one, so that no step gains or loses a sample.
        """
        size = next((n for n in range(self.size // 2, 0, -1) if self.size % n == 0), None)
        if size is None:
            return None
        factor = self.size // size
        return Batches(size, self.accumulate * factor, self.count * factor)
