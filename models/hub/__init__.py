"""Models from elsewhere: of a hub (`hf:OWNER/NAME@REVISION`) or of an address (`https://…#sha256=…`), kept on disk.

Only safetensors and the small text files of a model are fetched, each of a size that its kind can have, and none stays
that is not what its hash says. What is kept is found again without network.
"""
