"""How often the critic moves before the generator does."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CriticTurns:
    """Turns of the critic in a step, of which the generator has one.

    The code of Arjovsky et al. 2017 gives the critic ``generous`` turns in the ``first`` steps and in every
    ``every``-th one, so that it knows the generator before it is followed, and ``usual`` ones elsewhere.
    """

    usual: int = 1
    generous: int = 1
    first: int = 0
    every: int | None = None

    def of(self, step: int) -> int:
        """Turns in a step, counted from 0."""
        again = self.every is not None and step % self.every == 0
        return self.generous if step < self.first or again else self.usual

    def before(self, step: int) -> int:
        """Turns in all the steps before one."""
        generous = min(step, self.first)
        if self.every is not None and step > self.first:
            generous += (step - 1) // self.every - (self.first - 1) // self.every
        return self.usual * step + (self.generous - self.usual) * generous
