"""Judges of scenes: loading them, and what they say of pictures that were asked to show objects."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.pixels import to_unit
from marmor.data import SHOWS, SQUASHED, ImageSet
from marmor.metrics import Mean, ObjectScores, object_scores
from marmor.networks.checkpoints import fingerprint, load_into, load_state
from marmor.networks.object_judges import NETWORKS, ObjectJudge, from_course_checkpoint
from marmor.recipes.folders import PRETRAINED, open_folder, pretrained
from marmor.recipes.scoring import with_interval

JUDGE_RECIPE = "scene-judge"
SHIPPED = "scene-judge"
READ_BATCH = 250
COURSE_SIDE = 64
"""Side of the pictures that the course's checkpoint was trained on."""
STEERED = "steered by the judge"
"""How remarks on steered images begin."""


@dataclass(frozen=True)
class LoadedObjectJudge:
    """A judge of scenes that is ready to read.

    Args:
        judge: in evaluation mode.
        objects: what its places stand for; None for the course's checkpoint, which does not say it.
        origin: where it comes from, as a person wrote it.
        side: of the pictures it was trained on, to which others are squashed.
    """

    judge: ObjectJudge
    objects: tuple[str, ...] | None
    origin: str
    side: int

    @property
    def network(self) -> str:
        """The name of its network, as `marmor train scene-judge --network` has it."""
        kind = type(self.judge)
        return next((name for name, known in NETWORKS.items() if known is kind), kind.__name__)

    @property
    def title(self) -> str:
        """Who reads, for tables: where it comes from, its network, and at which side it reads."""
        return f"{self.origin} ({self.network}, {self.side}×{self.side})"

    def facts(self) -> dict[str, Any]:
        """Who reads, by the names that summary.json gives it."""
        return {"judge": self.origin, "judge.network": self.network, "judge.side": self.side}

    def check(self, objects: Sequence[str]) -> None:
        """Raises UserError where it does not know the objects that pictures are asked to show.

        Places without names are taken to be in the order of the objects asked for.
        """
        count = self.judge.objects
        if self.objects is None and count != len(objects):
            raise UserError(
                f"the judge {self.origin} knows {count} objects, and {len(objects)} can be asked for."
            )
        unknown = [name for name in objects if name not in (self.objects or objects)]
        if unknown:
            raise UserError(
                f"the judge {self.origin} does not know {', '.join(unknown)}; train one that does with: "
                "marmor train scene-judge --data …"
            )

    def places(self, objects: Sequence[str]) -> list[int]:
        """Which of its outputs stand for the objects, in their order; UserError as ``check`` raises it."""
        self.check(objects)
        return [(self.objects or objects).index(name) for name in objects]

    def prepare(self, images: ImageSet) -> ImageSet:
        """The pictures in colour, squashed to the side that the judge reads; notes say what was done."""
        if images.channels == 1:
            images = images.colour()
        return images.resized(self.side, SQUASHED)

    def read(self, images: ImageSet, objects: Sequence[str]) -> Tensor:
        """Probabilities (N, K) of the objects, in their order, for pictures of any size."""
        places = self.places(objects)
        return read_objects_of(self.judge, self.prepare(images).images)[:, places]

    def logits(self, x: Tensor) -> Tensor:
        """(B, K), by the judge's own places, for colour images (B, 3, H, W) in [-1, 1] of any size."""
        if x.shape[2:] != (self.side, self.side):
            x = SQUASHED.resize(x, self.side)
        return self.judge.logits(x)

    @property
    def fingerprint(self) -> str:
        """32 hex digits for its weights, the same for a copy in half precision, as exports are."""
        return fingerprint(copy.deepcopy(self.judge).half())


def swapped(objects: Sequence[str]) -> tuple[str, ...]:
    """What 'a red cube next to a blue ring' shows where features are swapped: a red ring, a blue cube.

    A colour of each with the shape of another, unless that is asked for too; () where a name is not a
    colour and a shape.
    """
    pairs = [name.split() for name in objects]
    if any(len(pair) != 2 for pair in pairs):
        return ()
    mixed = (f"{colour} {shape}" for colour, _ in pairs for _, shape in pairs)
    return tuple(dict.fromkeys(name for name in mixed if name not in objects))


def load_object_judge(spec: str) -> LoadedObjectJudge:
    """A run of `marmor train scene-judge`, `pretrained:NAME`, or the course's checkpoint file."""
    folder = open_folder(spec, JUDGE_RECIPE)
    if folder is None:
        course = from_course_checkpoint(load_state(Path(spec)), spec)
        return LoadedObjectJudge(course, None, spec, COURSE_SIDE)
    model = folder.settings["model"]
    judge = NETWORKS[model["network"]](len(model["objects"]))
    load_into(judge, folder.weights, spec)
    return LoadedObjectJudge(judge.eval(), tuple(model["objects"]), spec, model["side"])


def find_object_judge(spec: str | None, objects: Sequence[str]) -> LoadedObjectJudge | None:
    """The judge that was named; else the shipped one where it knows the objects; else None."""
    if spec is not None:
        judge = load_object_judge(spec)
        judge.check(objects)
        return judge
    config = pretrained().get(SHIPPED)
    if config is None or not set(objects) <= set(config["settings"]["model"]["objects"]):
        return None
    return load_object_judge(PRETRAINED + SHIPPED)


def needed_object_judge(spec: str | None, objects: Sequence[str]) -> LoadedObjectJudge:
    """The same; UserError where there is none."""
    judge = find_object_judge(spec, objects)
    if judge is None:
        raise UserError(
            "no judge knows these objects; train one with `marmor train scene-judge --data …` and name it "
            "with --judge."
        )
    return judge


def check_apart(judge: LoadedObjectJudge, remarks: Sequence[str]) -> None:
    """Raises UserError where remarks on images say that this very judge steered them."""
    steered = [remark for remark in remarks if STEERED in remark]
    if steered and any(judge.fingerprint in remark for remark in steered):
        raise UserError(
            f"the judge {judge.origin} has the weights of the one that steered these images, so its scores "
            "would say nothing about them; name another judge with --judge."
        )


def scores_of(judge: LoadedObjectJudge, images: ImageSet) -> ObjectScores:
    """Whether pictures show the objects that they are labelled with.

    Raises UserError where the judge itself steered them.
    """
    check_apart(judge, images.notes)
    probabilities = judge.read(images, images.vocabulary[SHOWS])
    return object_scores(probabilities, images.labels[SHOWS])


def figures_of(scores: ObjectScores) -> dict[str, Any]:
    """Scores by the names that summary.json gives them."""
    return {
        **with_interval("objects.found", scores.found),
        **with_interval("objects.exact", scores.exact),
        **_bounded("objects.extra", scores.extra),
    }


def _bounded(name: str, found: Mean) -> dict[str, float]:
    """A mean with its interval; of one picture, which has none, the mean alone."""
    return with_interval(name, found) if math.isfinite(found.low) else {name: found.value}


@torch.inference_mode()
def read_objects_of(judge: ObjectJudge, images: Tensor) -> Tensor:
    """Probabilities (N, K) for uint8 images (N, 3, H, W), by the judge's own places."""
    return torch.cat([judge(to_unit(part)) for part in images.split(READ_BATCH)])
