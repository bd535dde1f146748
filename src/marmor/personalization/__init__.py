"""Teaching a text-to-image pipeline concepts of one's own: new tokens, their files, merging."""

from marmor.personalization.merging import Constraints, Merged, constrain, merge

__all__ = ["Constraints", "Merged", "constrain", "merge"]
