"""The network: SAM's image encoder, a prompt-free multi-class decoder, and the two joined."""

from geoconvlora.sam.adaptable import AdaptableEncoder
from geoconvlora.sam.decoder import PromptFreeDecoder
from geoconvlora.sam.encoder import ImageEncoder, load_encoder
from geoconvlora.sam.plain_vit import PlainViTEncoder
from geoconvlora.sam.segmenter import Segmenter, build_segmenter
from geoconvlora.sam.sizes import SIZES, EncoderSize

__all__ = [
    "SIZES",
    "AdaptableEncoder",
    "EncoderSize",
    "ImageEncoder",
    "PlainViTEncoder",
    "PromptFreeDecoder",
    "Segmenter",
    "build_segmenter",
    "load_encoder",
]
