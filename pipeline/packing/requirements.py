"""Libraries that a query with a packed model needs, with their versions."""

from importlib.metadata import PackageNotFoundError, version

LIBRARIES = (
    "av",
    "click",
    "faiss-cpu",
    "h5py",
    "numpy",
    "onnxruntime",
    "pillow",
    "psutil",
    "pydantic",
    "pyyaml",
    "rasterio",
    "scipy",
    "simplejpeg",
    "soundfile",
    "soxr",
    "tqdm",
    "xxhash",
)
"""What ``ivr search`` with a packed model imports; what these libraries need comes with them."""


def requirements_text() -> str:
    """Return the content of ``requirements.txt`` with the versions of this machine."""
    lines = [
        "# What ivr search needs to answer queries with this model; on a small server:",
        "#   pip install --no-deps image-voice-hashing && pip install -r requirements.txt",
        *(_pinned(name) for name in LIBRARIES),
    ]
    return "\n".join(lines) + "\n"


def _pinned(name: str) -> str:
    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:  # another build of it, e.g. onnxruntime-gpu
        return name
