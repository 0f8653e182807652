"""A model with a style, ready to draw: batches, arithmetic, memory; the built-in model, published ones, ONNX files."""
