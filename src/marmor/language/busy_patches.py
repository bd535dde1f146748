"""Pictures read by some of their patches, which takes a vision transformer as much less time.

Li et al. 2023 (FLIP, arXiv 2212.00794) leave patches out at random. Here the plainest are left out, which of
objects on a table says where there are none.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def busiest(pictures: Tensor, side: int, count: int) -> Tensor:
    """The ``count`` patches of ``side`` pixels that vary most, int64 (N, count), places row by row.

    ``pictures``: float (N, C, H, W).
    """
    patches = F.unfold(pictures, side, stride=side).unflatten(1, (pictures.shape[1], -1))
    spread = patches.var(2).sum(1)
    return spread.topk(count, dim=1).indices.sort(1).values


def features_of_patches(clip: Any, pixels: Tensor, kept: Tensor) -> Tensor:
    """What ``get_image_features`` of a CLIPModel gives, from the patches ``kept`` (N, K) alone: (N, D).

    With all patches it is the same to rounding.
    """
    vision = clip.vision_model
    whole = vision.embeddings(pixels)
    places = (kept + 1)[..., None].expand(-1, -1, whole.shape[2])
    some = torch.cat([whole[:, :1], whole.gather(1, places)], 1)
    states = vision.encoder(inputs_embeds=vision.pre_layrnorm(some)).last_hidden_state
    return clip.visual_projection(vision.post_layernorm(states[:, 0]))
