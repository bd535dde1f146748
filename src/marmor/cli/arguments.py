"""Arguments that several commands take, and how `--help` shows them."""

from collections.abc import Callable
from typing import Annotated, Any

from tyro.conf import arg

from marmor.recipes.steering import SteeringWishes
from marmor.recipes.wishes import Wishes

Command = Callable[..., Any]
Spec = Annotated[str, arg(metavar="RUN|pretrained:NAME|FILE")]
How = Annotated[Wishes, arg(name="")]
Steered = Annotated[SteeringWishes, arg(name="")]
Data = Annotated[str, arg(metavar="NAME|PATH")]
