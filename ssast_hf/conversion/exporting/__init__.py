"""A saved model as one graph for onnxruntime, with what is needed beside it to use it without PyTorch."""
