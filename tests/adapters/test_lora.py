import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from geoconvlora.adapters import attach, method_of
from geoconvlora.adapters.lora import LowRankLinear
from geoconvlora.sam import load_encoder


def test_layer_equals_pefts() -> None:
    plain = nn.Sequential()
    plain.add_module("qkv", nn.Linear(12, 36))
    ours = LowRankLinear(plain.qkv, rank=3, alpha=32)
    nn.init.normal_(ours.lora_b)
    config = LoraConfig(r=3, lora_alpha=32, target_modules=["qkv"])
    theirs = inject_adapter_in_model(config, plain)
    state = theirs.qkv
    state.lora_A["default"].weight = nn.Parameter(ours.lora_a.detach().clone())
    state.lora_B["default"].weight = nn.Parameter(ours.lora_b.detach().clone())
    x = torch.randn(5, 12)
    torch.testing.assert_close(ours(x), theirs(x))


def test_merged_encoder_equals_the_adapted_one() -> None:
    encoder = attach(load_encoder("vit_t"), "lora", rank=4)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "lora_b" in name:
                parameter.normal_(std=0.02)
    image = torch.randn(1, 3, 64, 80)
    with torch.inference_mode():
        adapted = encoder(image)
        method_of(encoder).merge(encoder)
        merged = encoder(image)
    assert not any("lora" in name for name in encoder.state_dict())
    torch.testing.assert_close(merged, adapted, rtol=1e-4, atol=1e-4)
