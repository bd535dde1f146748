"""The training method of GANs: the critic's turns, then the generator's."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from marmor.adversarial import (
    DRAWS,
    adapted,
    augment,
    clip_weights,
    gradient_penalty,
    gradients,
)
from marmor.base.pixels import to_unit
from marmor.base.seeds import torch_stream
from marmor.data import CLASS, ImageSet, epoch_order
from marmor.data.augment import mirror
from marmor.networks.dcgan import DcganCritic, DcganGenerator
from marmor.recipes.gan_designs import GanDesign
from marmor.training import Batch, Optimizers, Turn

GENTLER = 0.5
"""The factor on all learning rates each time a guard has sent a run back."""
REAL, FAKE = "real", "fake"


class Players(nn.Module):
    """A generator, a critic, and how strongly the critic's images are augmented, in [0, 1].

    That is a buffer, so that it is in checkpoints, and a run goes back to what it was.
    """

    strength: Tensor
    drawn: Tensor | None
    """What the critic's turn drew, with its graph, until the generator's turn learns from it."""

    def __init__(self, generator: DcganGenerator, critic: DcganCritic) -> None:
        super().__init__()
        self.generator = generator
        self.critic = critic
        self.drawn = None
        self.register_buffer("strength", torch.zeros(()))


class Contest:
    """The loop's method of a design; ``data`` with a column of classes where the players know them.

    Images are bytes and reach the critic in [-1, 1], which a tanh can draw; what was normalised otherwise is
    refused by the reader of .npz files.
    """

    def __init__(
        self, players: Players, design: GanDesign, data: ImageSet, batch_size: int, seed: int
    ) -> None:
        self.module = players
        self.design, self.data, self.seed = design, data, seed
        self.batch_size, self.dataset_size = batch_size, len(data)
        self.gentleness = 1.0
        critic, generator = (
            Optimizers([design.optimizer(player.parameters())])
            for player in (players.critic, players.generator)
        )
        self.critic_turn = Turn(self.critic_loss, critic, "critic", self._clip, self._adapt)
        self.generator_turn = Turn(self.generator_loss, generator, "generator", self._clip)

    def begin(self, average: nn.Module, retreats: int) -> None:
        """Each retreat makes all steps smaller."""
        self.gentleness = GENTLER**retreats

    def turns(self, step: int) -> list[Turn]:
        return [self.critic_turn] * self.design.turns.of(step) + [self.generator_turn]

    def draw(self, step: int, turn: int) -> Batch:
        """Images, latents, what augmentation and penalty draw; the generator's turn has the last real images,
        and the last latents too where it learns from what they drew.
        """
        rows, turns = self.batch_size, self.design.turns
        last = min(turn, turns.of(step) - 1)
        stream = torch_stream(self.seed, "train", step, last if self.design.same_images else turn)
        seen = turns.before(step) + last
        chosen = epoch_order(seen, rows, self.dataset_size, self.seed)
        batch = {
            REAL: to_unit(self.data.images[chosen]),
            "latent": torch.randn(rows, self.module.generator.latent, generator=stream),
        }
        if self.design.mirrored:
            batch[REAL] = mirror(batch[REAL], stream)
        if self.data.class_names:
            batch[CLASS] = self.data.labels[CLASS][chosen]
        if self.design.augmented:
            batch["strength"] = self.module.strength.cpu().repeat(rows)
            batch |= {
                _changes(side): torch.rand(rows, DRAWS, generator=stream) for side in (REAL, FAKE)
            }
        if self.design.zero_centred:
            batch["penalised"] = torch.full((rows,), seen % self.design.penalty_every == 0)
        if self.design.one_centred:
            batch["share"] = torch.rand(rows, generator=stream)
        return batch

    def critic_loss(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(module, Players)
        module.critic.requires_grad_(True)
        with torch.set_grad_enabled(self.design.same_images):
            drawn = module.generator(batch["latent"], batch.get(CLASS))
        module.drawn = drawn if self.design.same_images else None
        real, fake, penalty = self._scores(module.critic, drawn.detach().float(), batch)
        scalars = {
            "loss": self.design.objective.critic(real, fake) + penalty,
            "accuracy": self.design.objective.accuracy(real, fake),
        }
        if self.design.augmented:
            scalars["augmentation"] = batch["strength"].mean()
        return scalars

    def generator_loss(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(module, Players)
        # What reaches the critic's weights would be thrown away.
        module.critic.requires_grad_(False)
        drawn, module.drawn = module.drawn, None
        if drawn is None:
            drawn = module.generator(batch["latent"], batch.get(CLASS))
        fake = _scorer(module.critic, batch, FAKE)(drawn).float()
        real = fake
        if self.design.objective.sees_real:
            with torch.no_grad():
                real = _scorer(module.critic, batch, REAL)(batch[REAL]).float()
        return {"loss": self.design.objective.generator(real, fake)}

    def rate(self, progress: float) -> float:
        return self.design.rate(progress) * self.gentleness

    def _scores(
        self, critic: DcganCritic, drawn: Tensor, batch: Batch
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of real and of drawn images, (B,) each, and what the critic pays for being steep."""
        of_real, of_fake = _scorer(critic, batch, REAL), _scorer(critic, batch, FAKE)
        if self.design.zero_centred and batch["penalised"][0]:
            real, steep = gradients(of_real, batch[REAL])
            fake, steep_too = gradients(of_fake, drawn)
            weight = self.design.zero_centred * self.design.penalty_every
            return real.float(), fake.float(), weight / 2 * (steep + steep_too).mean()
        real, fake = of_real(batch[REAL]).float(), of_fake(drawn).float()
        penalty = torch.zeros((), device=real.device)
        if self.design.one_centred:
            between = gradient_penalty(of_real, batch[REAL], drawn, batch["share"])
            penalty = self.design.one_centred * between
        return real, fake, penalty

    def _clip(self, module: nn.Module) -> None:
        """Before each use of the critic, the generator's included."""
        if self.design.clip is not None:
            assert isinstance(module, Players)
            clip_weights(module.critic, self.design.clip)

    def _adapt(self, module: nn.Module, scalars: dict[str, float]) -> None:
        if self.design.augmented:
            assert isinstance(module, Players)
            strength = adapted(module.strength, scalars["accuracy"], self.batch_size)
            module.strength.copy_(strength)


def _scorer(critic: DcganCritic, batch: Batch, side: str) -> Callable[[Tensor], Tensor]:
    """The critic behind the augmentation of one side, where there is any."""

    def score(images: Tensor) -> Tensor:
        if "strength" in batch:
            images = augment(images.float(), batch[_changes(side)], batch["strength"])
        return critic(images, batch.get(CLASS))

    return score


def _changes(side: str) -> str:
    """What the draws that change images of a side are called in a batch."""
    return f"{side}_changes"
