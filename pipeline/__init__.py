"""One module per stage: paths and a config in, files out."""
