"""Model files: listed, checked, run by ONNX Runtime."""
