"""Media to vectors: CNN image features, MFCC voice features, and the HDF5 files that hold them."""
