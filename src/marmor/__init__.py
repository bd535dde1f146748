"""marmor: image generation and domain adaptation on one person's machine."""

__version__ = "0.1.0"
