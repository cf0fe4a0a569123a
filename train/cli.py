"""The commands of `train.py`.

* `python train.py fit -c configs/train/NAME.yaml`: LightningCLI over our modules.
* `python train.py export CHECKPOINT OUT`: weights for `infer.py`.
"""

import argparse
import sys
from pathlib import Path

import torch
from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.cli import LightningCLI

from models.errors import PhotograftError


def run(args: list[str] | None = None) -> LightningCLI:
    """Build trainer, module and data from configs and run the subcommand."""
    torch.set_float32_matmul_precision("high")
    return LightningCLI(
        LightningModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        seed_everything_default=0,
        save_config_kwargs={"overwrite": True},
        args=args,
    )


def run_export(args: list[str]) -> None:
    """`train.py export CHECKPOINT OUT`."""
    from train.export import export

    parser = argparse.ArgumentParser(prog="train.py export", description=export.__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("checkpoint", type=Path, help="a .ckpt written by train.py fit")
    parser.add_argument("out", type=Path, help="folder and stem of the files, such as models/weights/my-model")
    parser.add_argument("--last", action="store_true", help="the last step's weights, not their moving average")
    parser.add_argument("--float32", action="store_true", help="store float32 (default: float16)")
    options = parser.parse_args(args)
    for path in export(options.checkpoint, options.out, average=not options.last, half=not options.float32):
        print(f"{path}  {path.stat().st_size / 2**20:.1f} MiB")


def main() -> None:
    """Entry point: errors that a user can mend are one line and exit code 2."""
    try:
        if sys.argv[1:2] == ["export"]:
            run_export(sys.argv[2:])
        else:
            run()
    except PhotograftError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
