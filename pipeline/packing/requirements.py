"""Libraries that queries with a packed model and the service need, with their versions."""

from importlib.metadata import PackageNotFoundError, version

LIBRARIES = (
    "av",
    "click",
    "faiss-cpu",
    "fastapi",
    "h5py",
    "lancedb",
    "numpy",
    "onnxruntime",
    "pillow",
    "prometheus-client",
    "psutil",
    "pyarrow",
    "pydantic",
    "python-multipart",
    "pyyaml",
    "rasterio",
    "scipy",
    "simplejpeg",
    "soundfile",
    "soxr",
    "tqdm",
    "uvicorn",
    "xxhash",
)
"""What ``ivr serve``, and ``ivr search`` with a packed model or an archive, import; what these
libraries need comes with them."""


def requirements_text() -> str:
    """Return the content of ``requirements.txt`` with the versions of this machine."""
    lines = [
        "# What ivr search and ivr serve need to answer queries with this model, in codes files",
        "# and archives; on a small server:",
        "#   pip install --no-deps image-voice-hashing && pip install -r requirements.txt",
        *(_pinned(name) for name in LIBRARIES),
    ]
    return "\n".join(lines) + "\n"


def _pinned(name: str) -> str:
    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:  # another build of it, e.g. onnxruntime-gpu
        return name
