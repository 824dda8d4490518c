"""Numbers with their nouns in messages."""


def counted(number: int, noun: str) -> str:
    """Return ``number`` with ``noun``, in the plural unless it is 1: ``2 classes``, ``1 query``."""
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{number} {noun[:-1]}ies"
    return f"{number} {noun}es" if noun.endswith("s") else f"{number} {noun}s"


def aligned_bits(distance: int) -> str:
    """Return a distance for a table: ``   1 bit ``, ``  12 bits``."""
    return f"{distance:4d} {'bit ' if distance == 1 else 'bits'}"
