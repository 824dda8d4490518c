"""A trained model as a folder of ONNX files that answers queries without torch."""
