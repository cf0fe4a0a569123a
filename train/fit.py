"""`train.py fit`: LightningCLI over our modules. Trainings against a frozen generator take `--generator`,
`--discriminator` and `--encoder`.
"""

import importlib
import inspect
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

import torch
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.utilities.exceptions import SIGTERMException

from data.module import ImageDataModule
from models.errors import PhotograftError
from models.processor import computes_bfloat16
from train.checkpoint import ResumableCheckpoint, read_resumable
from train.memory import keep_freed_memory
from train.projection.base import ProjectionTraining

SHORT = {  # of --model.init_args.X -> help
    "generator": "what E, or A and B, are trained for: name of a model, or path of a .generator.safetensors",
    "discriminator": "file whose features are Psi; default: the discriminator beside the generator",
    "encoder": "file of the encoder that A and B start from; default: the one beside the generator",
}


NOISE = (  # lines of the argument parser's messages that tell only how it tries, or repeat all that was given
    "Does not validate against any of the Union subtypes",
    "Subtypes: ",
    "Errors:",
    "Expected a <class 'NoneType'>",
    "Given value",
)
EXPECTED = (  # Lightning's warnings of what is meant so: GANs are judged by infer.py evaluate, frozen features stay so
    r"You passed in a `val_dataloader` but have no `validation_step`",
    r"Found \d+ module\(s\) in eval mode at the start of training",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"Experiment logs directory .* exists and is not empty",  # a resumed run's
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
        said = " ".join(line for line in lines if line and not line.startswith(NOISE))
        raise PhotograftError(f"{said:.400} (python train.py fit --help lists the options)") from ex


class TrainingCLI(LightningCLI):
    """LightningCLI with short names for the networks that a training of E, or of A and B, is given."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Lightning's hook: add them."""
        for name, text in SHORT.items():
            parser.add_argument(f"--{name}", type=str | None, default=None, help=f"{text} (encoder_*, auxiliary_*)")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Lightning's step, which looks into the checkpoint right after it.

        Raises:
            PhotograftError: a checkpoint from which no training of ours goes on.
        """
        super().parse_arguments(parser, args)
        path = self.config["fit"].get("ckpt_path") if self.config.get("subcommand") == "fit" else None
        self._kept = None if path is None else (Path(path), read_resumable(Path(path)))

    def before_instantiate_classes(self) -> None:
        """Lightning's hook: give them to the module, and leave a precision that would only slow the training down.

        Raises:
            PhotograftError: the module has no such network.
        """
        config = self.config[self.subcommand] if self.subcommand else self.config
        trainer = config["trainer"]
        on_cpu = trainer["accelerator"] == "cpu" or (trainer["accelerator"] == "auto" and not torch.cuda.is_available())
        if str(trainer["precision"]).startswith("bf16") and on_cpu and not computes_bfloat16():
            print("This processor has no instructions for bfloat16: training in float32.", file=sys.stderr)
            trainer["precision"] = "32-true"
        if on_cpu:
            keep_freed_memory()
        given = {name: config[name] for name in SHORT if config.get(name) is not None}
        if not given:
            return
        package, _, kind = config["model"]["class_path"].rpartition(".")
        module = getattr(importlib.import_module(package), kind)
        known = inspect.signature(module).parameters if issubclass(module, ProjectionTraining) else {}
        for name, value in given.items():
            if name not in known:
                raise PhotograftError(
                    f"--{name} is not for {kind}: leave it out, or choose"
                    f" {'an auxiliary_*' if name == 'encoder' else 'an encoder_* or auxiliary_*'} config"
                )
            config["model"]["init_args"][name] = value

    def instantiate_classes(self) -> None:
        """Lightning's step: build everything.

        Raises:
            PhotograftError: what one of ours found wrong, out of what the argument parser wraps it in.
        """
        try:
            super().instantiate_classes()
        except ValueError as error:
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, PhotograftError):
                cause = cause.__cause__ or cause.__context__
            if cause is None:
                raise
            raise cause from error

    def fit(self, **arguments: Any) -> None:
        """Lightning's step: train, from a checkpoint if one is given.

        Raises:
            PhotograftError: a checkpoint that is none of ours, or does not fit what is trained.
        """
        if self._kept is None:
            self.trainer.fit(**arguments)
            return
        path, kept = self._kept
        name = type(self.datamodule).__qualname__
        if isinstance(self.datamodule, ImageDataModule) and name not in (kept.model_extra or {}):
            raise PhotograftError(f"{path} is damaged: it has no position in the data")
        begun = _Begun(path, kept)
        self.trainer.callbacks.append(begun)  # type: ignore[attr-defined]
        try:
            self.trainer.fit(**{**arguments, "weights_only": True})
        except PhotograftError:
            raise
        except Exception as error:
            if begun.begun:
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise PhotograftError(f"{path} does not fit this training: {reason:.300}") from error


class _KeepConfig(SaveConfigCallback):
    """Lightning's, but a training that does not begin leaves the config of an earlier one as it was."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Lightning's hook, too early: the checkpoint is not read yet."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Lightning's hook."""
        super().setup(trainer, pl_module, "fit")


class _Begun(Callback):
    """Looks at what a training has taken from its checkpoint, and knows that it has begun."""

    def __init__(self, path: Path, kept: ResumableCheckpoint) -> None:
        self._path, self._kept, self.begun = path, kept, False

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning's hook."""
        self._kept.check_optimizers(trainer.optimizers, self._path)
        self.begun = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning's hook."""
        self.on_sanity_check_start(trainer, pl_module)


def run(args: list[str] | None = None) -> LightningCLI:
    """Build trainer, module and data from configs and run the subcommand."""
    for text in EXPECTED:
        warnings.filterwarnings("ignore", message=text)
    torch.set_float32_matmul_precision("high")
    return TrainingCLI(
        LightningModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        seed_everything_default=0,
        save_config_callback=_KeepConfig,
        save_config_kwargs={"overwrite": True},
        args=args,
        parser_class=OneLineParser,
    )


def fit() -> None:
    """Lightning handles signals itself: it ends the step, or tears down, but its exit codes say neither."""
    try:
        run()
    except SIGTERMException:
        print("error: terminated; the last checkpoint is kept", file=sys.stderr)
        sys.exit(143)
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise end.__context__ from None
        raise
