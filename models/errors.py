"""The errors that a user can cause and mend.

Everything raised on purpose for bad input derives from `PhotograftError`; its message is one line that says what is
wrong and what to do. The commands print that line and exit with code 2; anything else that escapes is our bug.
"""


class PhotograftError(Exception):
    """Bad input: one clear line, no traceback, exit code 2."""


class UnsupportedEdit(PhotograftError):
    """The generator's layers cannot take this edit (PG-GAN has no modulation, for instance)."""
