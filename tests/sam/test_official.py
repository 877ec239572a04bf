import subprocess
import sys

CODE = """
import sys
import geoconvlora.sam.official as parts
assert not {"torchvision", "segment_anything"} & set(sys.modules), "more than the model code"
import segment_anything
from segment_anything.modeling import transformer
assert segment_anything.sam_model_registry["vit_b"]
assert parts.TwoWayTransformer is transformer.TwoWayTransformer
"""


def test_model_code_comes_alone_and_is_that_of_the_package() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True)
