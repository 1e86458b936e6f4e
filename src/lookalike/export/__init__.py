"""Models for other programs: ONNX and OpenVINO graphs, and their parity."""
