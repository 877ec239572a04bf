"""From a scene to its map: tiles, blended probabilities, rasters and polygons.

Importing this does not import torch; :func:`predict` does, after it has checked its arguments.
"""

from geoconvlora.inference.arrays import predict_array
from geoconvlora.inference.mosaicking import MosaicResult, mosaic
from geoconvlora.inference.prediction import predict
from geoconvlora.inference.result import PredictionResult
from geoconvlora.inference.several import Joining

__all__ = ["Joining", "MosaicResult", "PredictionResult", "mosaic", "predict", "predict_array"]
