"""Execute the tutorial notebook and store its outputs in it.

    .venv/bin/python docs/run_tutorial.py docs/tutorial.ipynb

The notebook runs in an empty temporary folder, so that it depends on nothing but the package.
"""

import sys
import tempfile
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image
from traitlets.config import Config

SECONDS = 600


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Execute ``notebook`` in ``folder``; its outputs replace those that it had.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    # Sockets in a folder, not on the network; their paths must be short.
    with tempfile.TemporaryDirectory(prefix="ivr-") as sockets:
        place = {"transport": "ipc", "ip": str(Path(sockets) / "kernel")}
        NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=SECONDS,
            resources={"metadata": {"path": str(folder)}},
            record_timing=False,
            config=Config(KernelManager=place),
        ).execute()


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Take the progress lines out of the outputs of ``notebook`` and make its pictures smaller."""
    notebook.metadata.pop("language_info", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    output.data["image/png"] = _smaller(output.data["image/png"])


def _smaller(picture: str) -> str:
    """Return a PNG file in base64 with a palette in place of full colour."""
    image = Image.open(BytesIO(b64decode(picture))).convert("RGB").quantize(96)
    file = BytesIO()
    image.save(file, "png", optimize=True)
    return b64encode(file.getvalue()).decode()


def main() -> None:
    """Execute the notebook that is named on the command line."""
    path = Path(sys.argv[1])
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        execute(notebook, Path(folder))
    tidy(notebook)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
