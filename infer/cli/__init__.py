"""The commands of `infer.py`: parse, call, print."""
