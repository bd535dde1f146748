"""marmor's U-Net under the names of diffusers' UNet2DModel, which computes the same."""

from typing import Any

from torch import Tensor

from marmor.networks.unet import ResidualStage, UNet

EPSILON = 1e-5
BLOCK = {
    "norm1": "norm1",
    "conv1": "conv1",
    "time.1": "time_emb_proj",
    "norm2": "norm2",
    "conv2": "conv2",
    "skip": "conv_shortcut",
}


def config_of(network: UNet, side: int) -> dict[str, Any]:
    """config.json of the UNet2DModel that takes ``state_of``; ``side`` is what it draws unasked."""
    shape = network.shape
    kinds = ["Attn" if attention else "" for attention in shape.attention]
    return {
        "_class_name": "UNet2DModel",
        "sample_size": side,
        "in_channels": shape.channels,
        "out_channels": shape.channels,
        "center_input_sample": False,
        "time_embedding_type": "positional",
        "freq_shift": 0,
        "flip_sin_to_cos": False,
        "down_block_types": [f"{kind}DownBlock2D" for kind in kinds],
        "up_block_types": [f"{kind}UpBlock2D" for kind in reversed(kinds)],
        "block_out_channels": list(shape.widths),
        "layers_per_block": shape.blocks,
        "downsample_padding": 1,
        "act_fn": "silu",
        "attention_head_dim": None,  # one head
        "norm_num_groups": shape.groups,
        "norm_eps": EPSILON,
        "resnet_time_scale_shift": "default",
        "add_attention": True,
        "num_class_embeds": shape.classes["class"] + 1 if shape.classes else None,
    }


def state_of(network: UNet) -> dict[str, Tensor]:
    """The weights of ``network`` by the names that UNet2DModel gives them."""
    own = network.state_dict()
    state: dict[str, Tensor] = {}

    def move(name: str, to: str) -> None:
        for end in (".weight", ".bias"):
            if name + end in own:
                state[to + end] = own[name + end]

    def move_stage(name: str, block: str, place: int) -> None:
        for old, new in BLOCK.items():
            move(f"{name}.resblocks.{old}", f"{block}.resnets.{place}.{new}")
        attention = f"{block}.attentions.{place}"
        move(f"{name}.attention.norm", f"{attention}.group_norm")
        if f"{name}.attention.qkv.weight" in own:
            for end in (".weight", ".bias"):
                parts = own[f"{name}.attention.qkv{end}"].chunk(3)
                for letter, part in zip("qkv", parts, strict=True):
                    state[f"{attention}.to_{letter}{end}"] = _flat(part)
                state[f"{attention}.to_out.0{end}"] = _flat(own[f"{name}.attention.out{end}"])

    move("down1", "conv_in")
    move("time.1", "time_embedding.linear_1")
    move("time.3", "time_embedding.linear_2")
    move("labels.class", "class_embedding")
    for names, side, sampler, conv in (
        (network.downs[1:], "down_blocks", "downsamplers", "0"),
        (network.ups, "up_blocks", "upsamplers", "1"),
    ):
        level = place = 0
        for name in names:
            block = f"{side}.{level}"
            if isinstance(network.get_submodule(name), ResidualStage):
                move_stage(name, block, place)
                place += 1
            else:
                move(f"{name}.{conv}", f"{block}.{sampler}.0.conv")
                level, place = level + 1, 0
    move_stage("mid1", "mid_block", 0)
    move_stage("mid2", "mid_block", 1)
    move("out.0", "conv_norm_out")
    move("out.2", "conv_out")
    return state


def _flat(weight: Tensor) -> Tensor:
    """A 1×1 convolution's weight (out, in, 1, 1) as a linear map's; biases stay."""
    return weight.flatten(1).contiguous() if weight.ndim == 4 else weight.contiguous()
