"""What a CLIP is trained for: pictures and their own sentences alike, others not (Radford et al. 2021)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, alike: Tensor) -> Tensor:
    """The mean cross-entropy of finding each picture's sentence, and each sentence's picture, in the batch.

    ``images`` (B, D) and ``texts`` (B + more, D) of length 1: the first B are row by row pairs; pictures
    choose among all sentences, and those beyond the first B, which nothing shows, choose no picture
    (Yuksekgonul et al. 2023, NegCLIP). ``scale`` multiplies cosines.
    ``alike``: bool (B, B + more), whether the sentence of the second is true of the picture of the first.
    Such a pair is no mistake: each is left out of the other's choice, in which it counts neither as right nor
    as wrong.
    """
    with torch.autocast(images.device.type, enabled=False):  # cosines need more than bf16's 8 bits
        logits = scale.float() * images.float() @ texts.float().T
    right = torch.arange(len(logits), device=logits.device)
    others = right[:, None] != torch.arange(len(texts), device=logits.device)
    logits = logits.masked_fill(alike & others, -torch.inf)
    shown = logits[:, : len(images)]
    return (F.cross_entropy(logits, right) + F.cross_entropy(shown.T, right)) / 2
