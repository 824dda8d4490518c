"""The root of every error that a caller of ``ivr`` can expect.

A module of its own below everything else: features, hashing and pipeline raise subclasses of it
without importing anything of each other.
"""


class IvrError(ValueError):
    """Something that a caller can expect and repair; the message is one line that says how.

    The subclasses stand beside the code that raises them, for example ``ManifestError`` in
    ``ivr.pipeline.datasets.manifest`` and ``RunError`` in ``ivr.pipeline.runs.run_folder``.
    Any other exception is a bug, an error of the operating system (``OSError``), or memory that
    ran out.
    """
