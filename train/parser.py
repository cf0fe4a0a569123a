"""The parser of `train.py fit`: mistakes are one line."""

import difflib
import re
from typing import NoReturn

from pytorch_lightning.cli import LightningArgumentParser

from models.errors import PhotograftError

NOISE = (  # lines of the argument parser's messages that tell only how it tries, or repeat all that was given
    "Does not validate against any of the Union subtypes",
    "Subtypes: ",
    "Errors:",
    "Expected a <class 'NoneType'>",
    "Given value",
)


class OneLineParser(LightningArgumentParser):
    """Says in one line what is wrong, instead of all options and everything that was given."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """The argument parser's step where a command line, or a config, is none.

        Raises:
            PhotograftError: what is wrong, from the outermost key to the innermost.
        """
        if not self.exit_on_error:  # one of many readings that are tried
            super().error(message, ex)
        lines = (line.strip().removeprefix("- ") for line in message.splitlines())
        if "pytorch_lightning.Lightning" in message:
            raise PhotograftError("there is no config: give -c configs/train/NAME.yaml (train.py --help)") from ex
        said = " ".join(line for line in lines if line and not line.startswith(NOISE))
        raise PhotograftError(f"{said:.400} ({self._hint(said)}train.py fit --help lists the options)") from ex

    def _hint(self, said: str) -> str:
        """Which option may have been meant."""
        unknown = re.search(r"unrecognized arguments: (--[\w.]+)", said)
        near = difflib.get_close_matches(unknown[1], self._option_string_actions, n=1) if unknown else []
        return f"did you mean {near[0]}? " if near else ""
