"""What the models see: sets of images, where they are read from and written to, and how made.

``read`` turns a name or a path into an ``ImageSet``; ``write`` and ``write_splits`` turn it back
into files; ``make_mnist_m`` makes MNIST-M from digits and photographs, ``make_house_numbers``
street digits from typefaces, ``scenes`` pictures of coloured solids; ``describe`` tells in numbers what a
set is.
"""

from marmor.data.captions import (
    USUAL_SCENES,
    Captioned,
    SceneWishes,
    alike,
    captioned,
    captioned_scenes,
    has_captions,
    read_captioned,
)
from marmor.data.classes import class_in_name, labelled_by_names, require_classes
from marmor.data.decode import REMARK, read_picture
from marmor.data.describe import describe
from marmor.data.domains import DOMAIN, join_domains
from marmor.data.embedded import EMBEDDED, photographs
from marmor.data.house_numbers import make_house_numbers
from marmor.data.imageset import CLASS, ImageSet
from marmor.data.join import join
from marmor.data.mnist_m import make_mnist_m, read_photographs
from marmor.data.noises import Noises, read_noise, read_noises
from marmor.data.order import epoch_order
from marmor.data.readers import read
from marmor.data.scenes import (
    SHOWS,
    draw_lists,
    objects_of,
    places,
    read_lists,
    read_requests,
    read_scenes,
    write_captioned,
    write_scenes,
)
from marmor.data.splits import MissingSplitError
from marmor.data.squares import SQUASHED, Fit, MixedSizesError
from marmor.data.writers import write, write_splits

__all__ = [
    "CLASS",
    "DOMAIN",
    "EMBEDDED",
    "REMARK",
    "SHOWS",
    "SQUASHED",
    "USUAL_SCENES",
    "Captioned",
    "Fit",
    "ImageSet",
    "MissingSplitError",
    "MixedSizesError",
    "Noises",
    "SceneWishes",
    "alike",
    "captioned",
    "captioned_scenes",
    "class_in_name",
    "describe",
    "draw_lists",
    "epoch_order",
    "has_captions",
    "join",
    "join_domains",
    "labelled_by_names",
    "make_house_numbers",
    "make_mnist_m",
    "objects_of",
    "photographs",
    "places",
    "read",
    "read_captioned",
    "read_lists",
    "read_noise",
    "read_noises",
    "read_photographs",
    "read_picture",
    "read_requests",
    "read_scenes",
    "require_classes",
    "write",
    "write_captioned",
    "write_scenes",
    "write_splits",
]
