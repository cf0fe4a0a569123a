"""Networks as ONNX files, for programs without torch: what each computes, how it is written, whether it is the same."""
