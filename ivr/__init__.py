"""Deep image-voice hashing for remote sensing: a spoken sentence finds images by short codes."""

from importlib.metadata import version

from ivr.errors import IvrError

__version__ = version("image-voice-hashing")
__all__ = ["IvrError", "__version__"]
