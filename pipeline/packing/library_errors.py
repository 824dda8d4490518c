"""Errors of the libraries for ONNX in one line."""


def first_line(error: BaseException) -> str:
    """Return the first line of a message, at most 200 characters; the kind of error without one."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
