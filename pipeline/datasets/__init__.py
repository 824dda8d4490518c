"""What is there: manifests, splits, public data set layouts, pairing, audit, published results."""
