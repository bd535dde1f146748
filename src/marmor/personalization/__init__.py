"""Concepts of one's own in a text-to-image pipeline: new words, their files, merging, drawing them."""

from marmor.personalization.attention import AttentionMaps, Watch, tokens_of, watched
from marmor.personalization.embedding_files import read_embedding, write_embedding
from marmor.personalization.merging import Constraints, Merged, constrain, merge
from marmor.personalization.noising import require_target, squared_error
from marmor.personalization.placeholders import (
    NAME,
    Placeholder,
    add_placeholder,
    expand,
    first_vectors,
)
from marmor.personalization.regions import Box, Region, columns, shares
from marmor.personalization.rows import NewRows
from marmor.personalization.sampling import (
    Background,
    Script,
    decode,
    denoise,
    encode,
    plain_colours,
)
from marmor.personalization.views import views

__all__ = [
    "NAME",
    "AttentionMaps",
    "Background",
    "Box",
    "Constraints",
    "Merged",
    "NewRows",
    "Placeholder",
    "Region",
    "Script",
    "Watch",
    "add_placeholder",
    "columns",
    "constrain",
    "decode",
    "denoise",
    "encode",
    "expand",
    "first_vectors",
    "merge",
    "plain_colours",
    "read_embedding",
    "require_target",
    "shares",
    "squared_error",
    "tokens_of",
    "views",
    "watched",
    "write_embedding",
]
