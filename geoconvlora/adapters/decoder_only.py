"""No adaptation: the encoder stays as it is, only the decoder learns."""

from __future__ import annotations

from typing import ClassVar

from geoconvlora.adapters.base import Method


class DecoderOnly(Method):
    """Train the decoder alone."""

    name: ClassVar[str] = "decoder-only"

    def trains(self, name: str) -> bool:
        """Nothing of the encoder."""
        return False
