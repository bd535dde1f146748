"""Scores of a checkpoint that read no target labels; higher is better. Arguments say what is seen.

None of those that read only the target's predictions can tell a good checkpoint from every bad one:
entropy and neighbourhood density are best for a network that says the same of every image, and
information, shared or not, is high for one that is sure, balanced and wrong.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from marmor.adaptation.entropy import entropy


def source_accuracy(source_logits: Tensor, source_labels: Tensor) -> float:
    """The share of held-out source images that are read right."""
    return (source_logits.argmax(1) == source_labels).float().mean().item()


def certainty(target_logits: Tensor) -> float:
    """Minus the mean entropy of predictions, in nats: 0 where every one is certain."""
    return -entropy(target_logits.softmax(1)).mean().item()


def balance(target_logits: Tensor) -> float:
    """The entropy of the mean prediction, in nats: log(classes) where all are predicted alike."""
    return entropy(target_logits.softmax(1).mean(0)).item()


def information(target_logits: Tensor) -> float:
    """Mutual information between image and prediction, in nats, at most log(classes).

    ``balance`` + ``certainty`` (Bridle et al. 1991; Shi & Sha 2012; SHOT, Liang et al. 2020, eq. 3).
    """
    return balance(target_logits) + certainty(target_logits)


def shared_information(target_logits: Tensor, changed_logits: Tensor) -> float:
    """Mutual information between answers to two views of the same images, in nats, at most log(classes).

    Ji et al. 2019, eq. 2 and 3, where it is maximised in training; both (N, K). It is high where answers
    are sure, even over the classes, and the same once an image is slightly changed. The last is what
    ``information`` cannot see: a network that learns its source by heart gets surer of target images all
    the while, and reads them otherwise as soon as they move.
    """
    joint = target_logits.softmax(1).T @ changed_logits.softmax(1) / len(target_logits)
    joint = (joint + joint.T) / 2
    return (2 * entropy(joint.sum(1)) - entropy(joint.flatten())).item()


def agreement_where_surest(
    target_logits: Tensor, unadapted_logits: Tensor, share: float = 0.1
) -> float:
    """How often both answer alike, on what the unadapted network is surest of.

    That is the surest ``share`` (one image at least) of each class that it answers: of all images alike,
    the surest may be of one class, and say nothing of the others. Both (N, K), of the same images.
    """
    sureness, before = unadapted_logits.softmax(1).max(1)
    surest = []
    for answer in before.unique():
        [of_class] = (before == answer).nonzero(as_tuple=True)
        count = max(1, round(share * len(of_class)))
        surest.append(of_class[sureness[of_class].topk(count).indices])
    looked_at = torch.cat(surest)
    return (target_logits.argmax(1) == before)[looked_at].float().mean().item()


def neighbourhood_density(target_features: Tensor, temperature: float = 0.05) -> float:
    """Soft neighbourhood density (Saito et al. 2021, eq. 2 to 4): entropy of similarities, (N, D)."""
    unit = F.normalize(target_features, dim=1)
    similarity = unit @ unit.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    return entropy(similarity.softmax(1)).mean().item()
