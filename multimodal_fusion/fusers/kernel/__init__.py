"""The 113-parameter network as compiled code: a C kernel, its library, and the models it fits.

Optional: without a C compiler at installation, or for models of another shape, ONNX Runtime runs.
"""
