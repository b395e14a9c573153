"""The networks, one paper a file. They need torch; the robot runs their ONNX exports without it.

A network of the luma kind is a torch module called as ``network(thermal, visible)``: two float
tensors (N, 1, H, W) in [0, 1] go in, one (N, 1, H, W) comes out. The model file clips it.
"""
