"""Readers: one module for each kind of file, ``recognise`` chooses among them."""

from marmor.data.readers.recognise import read

__all__ = ["read"]
