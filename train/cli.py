"""`python train.py fit -c configs/train/NAME.yaml`: LightningCLI over our modules, and `export`."""

import sys

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


def main() -> None:
    """Entry point: errors that a user can mend are one line and exit code 2."""
    try:
        run()
    except PhotograftError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
