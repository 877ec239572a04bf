"""Synthetic farmland with exact labels, from an integer seed, at any size.

``training_sample`` makes chips as a network sees them, ``landscape`` arrays of reflectance and
labels, ``write_sample`` georeferenced files.
"""

from geoconvlora.synthetic.landscape import Landscape, landscape
from geoconvlora.synthetic.sample import training_sample
from geoconvlora.synthetic.scene import SampleFiles, write_sample

__all__ = ["Landscape", "SampleFiles", "landscape", "training_sample", "write_sample"]
