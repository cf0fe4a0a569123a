"""TensorFlow, in processes of its own: it and torch's compiler bring two LLVMs, which do not live in one process."""
