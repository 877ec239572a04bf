import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from geoconvlora.adapters.lora import LowRankLinear


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
