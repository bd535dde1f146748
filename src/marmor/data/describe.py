"""What a set of images is, in numbers."""

from typing import Any

from marmor.data.imageset import ImageSet


def describe(images: ImageSet) -> dict[str, Any]:
    """Counts, sizes and values of a set, ready for JSON; ``value_*`` are None for an empty set.

    Keys: ``count``, ``height``, ``width``, ``channels``, ``value_min``, ``value_max``,
    ``value_mean`` (0 … 255), ``labelled``, ``classes`` (name → number of images, in class order),
    ``fingerprint``, ``notes``.
    """
    pixels = images.images
    filled = pixels.numel() > 0
    return {
        "count": len(images),
        "height": images.size[0],
        "width": images.size[1],
        "channels": images.channels,
        "value_min": int(pixels.min()) if filled else None,
        "value_max": int(pixels.max()) if filled else None,
        "value_mean": float(pixels.sum()) / pixels.numel() if filled else None,
        "labelled": bool(images.labels),
        "classes": _counts(images),
        "fingerprint": images.fingerprint(),
        "notes": list(images.notes),
    }


def _counts(images: ImageSet) -> dict[str, int]:
    if not images.class_names:
        return {}
    counts = images.labels["class"].bincount(minlength=len(images.class_names))
    return dict(zip(images.class_names, counts.tolist(), strict=True))
