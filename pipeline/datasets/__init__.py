"""Data sets: manifests, splits, layouts of public data sets, pairing, audit, published results."""
