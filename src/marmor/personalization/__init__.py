"""Concepts of one's own in a text-to-image pipeline: new words, weights, files, merging, drawing them."""

from marmor.personalization.attention import AttentionMaps, Watch, tokens_of, watched
from marmor.personalization.chosen import ChosenWeights, put_in
from marmor.personalization.concepts import Concepts
from marmor.personalization.embedding_files import read_embedding, write_embedding
from marmor.personalization.features import caption_features, whole_words, word_features
from marmor.personalization.low_rank import (
    Where,
    add_low_rank,
    read_low_rank,
    require_peft,
    write_low_rank,
)
from marmor.personalization.merging import Constraints, Merged, constrain, merge
from marmor.personalization.noising import require_target, spread_steps, squared_error
from marmor.personalization.placeholders import (
    NAME,
    Placeholder,
    add_placeholder,
    expand,
    first_vectors,
    random_vectors,
)
from marmor.personalization.projections import (
    MARK,
    is_projection,
    projection_names,
    read_projections,
    write_projections,
)
from marmor.personalization.regions import Box, Region, columns, shares
from marmor.personalization.rows import NewRows
from marmor.personalization.sampling import (
    Background,
    Script,
    decode,
    denoise,
    encode,
    latents_of,
)
from marmor.personalization.views import SMALLEST_CROP, views

__all__ = [
    "MARK",
    "NAME",
    "SMALLEST_CROP",
    "AttentionMaps",
    "Background",
    "Box",
    "ChosenWeights",
    "Concepts",
    "Constraints",
    "Merged",
    "NewRows",
    "Placeholder",
    "Region",
    "Script",
    "Watch",
    "Where",
    "add_low_rank",
    "add_placeholder",
    "caption_features",
    "columns",
    "constrain",
    "decode",
    "denoise",
    "encode",
    "expand",
    "first_vectors",
    "is_projection",
    "latents_of",
    "merge",
    "projection_names",
    "put_in",
    "random_vectors",
    "read_embedding",
    "read_low_rank",
    "read_projections",
    "require_peft",
    "require_target",
    "shares",
    "spread_steps",
    "squared_error",
    "tokens_of",
    "views",
    "watched",
    "whole_words",
    "word_features",
    "write_embedding",
    "write_low_rank",
    "write_projections",
]
