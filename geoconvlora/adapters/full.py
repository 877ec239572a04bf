"""Full fine-tuning, the upper reference, and the way to train an encoder from scratch."""

from __future__ import annotations

from typing import ClassVar

from geoconvlora.adapters.base import Method


class Full(Method):
    """Train every parameter."""

    name: ClassVar[str] = "full"

    def trains(self, name: str) -> bool:
        """All of the encoder."""
        return True
