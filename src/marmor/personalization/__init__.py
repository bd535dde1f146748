"""Teaching a text-to-image pipeline concepts of one's own: new words, their files, merging."""

from marmor.personalization.embedding_files import read_embedding, write_embedding
from marmor.personalization.merging import Constraints, Merged, constrain, merge
from marmor.personalization.noising import require_target, squared_error
from marmor.personalization.placeholders import (
    Placeholder,
    add_placeholder,
    expand,
    first_vectors,
)
from marmor.personalization.rows import NewRows
from marmor.personalization.views import views

__all__ = [
    "Constraints",
    "Merged",
    "NewRows",
    "Placeholder",
    "add_placeholder",
    "constrain",
    "expand",
    "first_vectors",
    "merge",
    "read_embedding",
    "require_target",
    "squared_error",
    "views",
    "write_embedding",
]
