"""The HTTP service of an archive and the page for operators; needs no torch."""
