"""`train.py fit` and `validate`: LightningCLI over our modules, in a folder of the run's own (`train.place`).

Trainings against a frozen generator take `--generator`, `--discriminator` and `--encoder`.
"""

import importlib
import inspect
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.exceptions import SIGTERMException

from data.module import ImageDataModule
from models.errors import PhotograftError
from models.processor import computes_bfloat16
from models.progress import tell
from models.terminal import visible
from train.callbacks.beginning import Begun, KeepConfig
from train.callbacks.frechet import FrechetDistance
from train.callbacks.progress import TrainingProgress
from train.callbacks.tracking import Tracking, finish, kept_id
from train.checkpoint import ResumableCheckpoint, read_resumable
from train.gan.module import GAN
from train.loggers import place_loggers, without_notices
from train.memory import keep_freed_memory
from train.parser import OneLineParser
from train.place import CONFIG, Place, choose_place
from train.projection.base import ProjectionTraining

SHORT = {  # of --model.init_args.X -> help
    "generator": "what E, or A and B, are trained for: name of a model, or path of a .generator.safetensors",
    "discriminator": "file whose features are Psi; default: the discriminator beside the generator",
    "encoder": "file of the encoder that A and B start from; default: the one beside the generator",
}


EXPECTED = (  # Lightning's warnings of what is meant so: frozen features stay in evaluation mode
    r"Found \d+ module\(s\) in eval mode at the start of training",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"Experiment logs directory .* exists and is not empty",  # a resumed run's
    r"The '\w+' does not have many workers",
    r"GPU available but not used",
    r"Be aware that when using `ckpt_path`, callbacks",  # `Tracking` has nothing to do when a checkpoint is measured
)
INFORMING = ("pytorch_lightning", "lightning_fabric")  # on devices, tips, restored states: `TrainingProgress` says it


class TrainingCLI(LightningCLI):
    """LightningCLI with a folder for each run, and short names for the networks that trainings of E, A and B take."""

    place: Place
    _kept: tuple[Path, ResumableCheckpoint] | None = None

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """What Lightning offers and our modules can do."""
        every = LightningCLI.subcommands()
        return {
            "fit": every["fit"] | {"weights_only"},
            "validate": every["validate"] | {"weights_only", "verbose"},
        }

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Lightning's hook: add them."""
        for name, text in SHORT.items():
            parser.add_argument(f"--{name}", type=str | None, default=None, help=f"{text} (encoder_*, auxiliary_*)")
        parser.add_argument(
            "--overwrite",
            action="store_true",
            help="take away the earlier run in this folder (fit; default: a new one)",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Lightning's step, which looks into the checkpoint right after it: choose the run's folder.

        Raises:
            PhotograftError: a checkpoint that is missing, or from which no training of ours goes on.
        """
        super().parse_arguments(parser, args)
        if "subcommand" in self.config:  # `train.bench` only builds
            self._choose_place(self.config[self.config["subcommand"]], self.config["subcommand"] == "fit")

    def _choose_place(self, config: Namespace, training: bool) -> None:
        """See `parse_arguments`."""
        base = config["trainer"]["default_root_dir"] or Path("runs") / _stem(config)
        if not training and config.get("ckpt_path") is None:
            raise PhotograftError("nothing to validate: give --ckpt_path FILE, or last")
        self.place = choose_place(Path(base), config.get("ckpt_path"), overwrite=training and config["overwrite"])
        path = self.place.checkpoint
        self._kept = None if path is None else (path, read_resumable(path))
        # what is written beside the run says how to begin it, not how it once went on
        self._given = config.clone()
        self._given["trainer"]["default_root_dir"] = str(base)
        self._given["ckpt_path"], self._given["overwrite"] = None, False
        config["ckpt_path"] = None if path is None else str(path)
        config["trainer"]["default_root_dir"] = str(self.place.folder if training else base)
        if not training:
            config["trainer"]["logger"] = False
            return
        kept = self._kept[1].callbacks if self._kept is not None and self.place.continues else {}
        place_loggers(config["trainer"], self.place.folder, _run_name(config, self.place.folder), kept_id(kept))

    def _say_place(self) -> None:
        place, folder = self.place, visible(self.place.folder)
        if self._kept is not None:
            path, kept = self._kept
            how = f"going on in {folder}" if path.parent == place.folder else f"a run in {folder} goes on"
            said = f"{how} from {visible(path)} ({kept.count('images_seen'):,} pictures)"
        elif place.beside is not None:
            said = (
                f"new run in {folder}, beside the one in {visible(place.beside)}"
                " (--ckpt_path last goes on with that, --overwrite replaces it)"
            )
        else:
            said = f"new run in {folder}"
        tell(said)

    def before_instantiate_classes(self) -> None:
        """Lightning's hook: give them to the module, and leave a precision that would only slow the training down.

        Raises:
            PhotograftError: the module has no such network.
        """
        config = self.config[self.subcommand] if self.subcommand else self.config
        trainer = config["trainer"]
        on_cpu = trainer["accelerator"] == "cpu" or (trainer["accelerator"] == "auto" and not torch.cuda.is_available())
        if str(trainer["precision"]).startswith("bf16") and on_cpu and not computes_bfloat16():
            tell("This processor has no instructions for bfloat16: training in float32.")
            trainer["precision"] = "32-true"
        if self.subcommand == "validate" and not trainer["limit_val_batches"]:  # a training that does not look
            trainer["limit_val_batches"] = 1.0
        if on_cpu:
            keep_freed_memory()
        several = _several(trainer["devices"], on_cpu) or trainer["num_nodes"] > 1
        if several and trainer["strategy"] == "auto":  # a GAN's optimisers leave each other's networks alone
            trainer["strategy"] = "ddp_find_unused_parameters_true"
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
            PhotograftError: what one of ours found wrong, out of what the argument parser wraps it in; a logger whose
                package is missing.
        """
        try:
            super().instantiate_classes()
        except (ValueError, ModuleNotFoundError) as error:
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, PhotograftError | ModuleNotFoundError):
                cause = cause.__cause__ or cause.__context__
            if isinstance(cause, ModuleNotFoundError):
                if "tensorboard" in str(cause):
                    raise PhotograftError("TensorBoard is missing: pip install 'photograft[tensorboard]'") from error
                raise PhotograftError(f"a package is missing: {' '.join(str(cause).split()):.200}") from error
            if cause is None:  # a trainer's settings
                raise PhotograftError(f"the trainer: {' '.join(str(error).split()):.300}") from error
            raise cause from error

    def instantiate_trainer(self, **settings: Any) -> Trainer:
        """Lightning's step, with our progress in the place of Lightning's, and what tells loggers of the run."""
        trainer = self._get(self.config_init, "trainer")
        given = trainer["callbacks"] or []
        own_bar = any(isinstance(c, ProgressBar) for c in (given if isinstance(given, list) else [given]))
        shown = trainer["enable_progress_bar"] is not False and not own_bar
        settings |= {} if own_bar else {"enable_progress_bar": False}
        # projection, which is measured, needs gradients; weights made in Lightning's mode could not have any
        built: Trainer = super().instantiate_trainer(**settings, inference_mode=self.subcommand != "validate")
        without_notices(built.loggers)
        callbacks: list[Callback] = built.callbacks  # type: ignore[attr-defined]
        if self.subcommand == "fit":
            told = yaml.safe_load(self._parser(self.subcommand).dump(self._given, skip_none=False, format="yaml"))
            callbacks += [TrainingProgress()] if shown else []
            callbacks += [Tracking(told)]
        for callback in callbacks:
            if isinstance(callback, KeepConfig):
                callback.config, callback.place = self._given, self.place
        return built

    def fit(self, **arguments: Any) -> None:
        """Lightning's step: train, from a checkpoint if one is given.

        Raises:
            PhotograftError: a checkpoint that is none of ours, or does not fit what is trained.
        """
        if isinstance(self.datamodule, ImageDataModule):  # before a logger begins anything
            _ = self.datamodule.class_names
        self._say_place()
        try:
            self._fit(**arguments)
        except BaseException:
            finish(self.trainer, failed=True)
            raise
        finish(self.trainer, failed=False)

    def _fit(self, **arguments: Any) -> None:
        if self._kept is None:
            self.trainer.fit(**arguments)
            self._say_if_nothing_was_done()
            return
        path, kept = self._kept
        name = type(self.datamodule).__qualname__
        if isinstance(self.datamodule, ImageDataModule) and name not in (kept.model_extra or {}):
            raise PhotograftError(f"{path} is damaged: it has no position in the data")
        begun = Begun(path, kept)
        self.trainer.callbacks.append(begun)  # type: ignore[attr-defined]
        try:
            self.trainer.fit(**{**arguments, "weights_only": True})
        except PhotograftError:
            raise
        except Exception as error:
            if begun.begun:
                raise
            raise _misfit(path, error) from error
        self._say_if_nothing_was_done()

    def _say_if_nothing_was_done(self) -> None:
        """Lightning ends without a word where `max_steps` or `max_epochs` are reached already."""
        bars = [c for c in self.trainer.callbacks if isinstance(c, TrainingProgress)]  # type: ignore[attr-defined]
        if bars and not bars[0].begun:
            tell("nothing was left to train: raise trainer.max_steps (or max_epochs)")

    def validate(self, **arguments: Any) -> None:
        """Lightning's step: measure a checkpoint, and print what was measured.

        Raises:
            PhotograftError: no validation pictures, or a checkpoint that does not fit the config.
        """
        assert self._kept is not None
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
        if isinstance(self.model, GAN) and not any(isinstance(c, FrechetDistance) for c in callbacks):
            callbacks.append(FrechetDistance())
        if isinstance(self.datamodule, ImageDataModule) and not len(self.datamodule.val_pictures):
            raise PhotograftError("there are no validation pictures: give --data.init_args.val_root FOLDER")
        try:
            results = self.trainer.validate(
                **arguments, weights_only=True, verbose=False
            )  # one for each set of pictures
        except PhotograftError:
            raise
        except RuntimeError as error:
            raise _misfit(self._kept[0], error) from error
        for measured, value in {name: value for found in results for name, value in found.items()}.items():
            print(f"{measured} {value:.5g}")


def _misfit(path: Path, error: Exception) -> PhotograftError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return PhotograftError(f"{path} does not fit this training: {reason:.300}")


def _several(devices: Any, on_cpu: bool) -> bool:
    """Whether `trainer.devices` (2, "2", [0, 1], "0,1", "auto", -1) are more than one."""
    if str(devices) in ("auto", "-1"):
        return not on_cpu and torch.cuda.device_count() > 1
    listed = [part for part in str(devices).strip("[]").split(",") if part.strip()]
    number = str(devices)
    return len(listed) > 1 or (number.isdecimal() and int(number) > 1)


def _stem(config: Any) -> str:
    """Of the first config file: what the run is called."""
    files = config.get("config") or ()
    return Path(str(files[0])).stem if files else "run"


def _run_name(config: Any, folder: Path) -> str:
    """What loggers call the run: its config and, where they say more, its folder and number."""
    stem = _stem(config)
    parts = folder.parts[-2:] if folder.name.startswith("v") and folder.name[1:].isdecimal() else folder.parts[-1:]
    return "/".join(parts if parts[0] == stem else (stem, *parts))


def run(args: list[str] | None = None, *, only_build: bool = False) -> LightningCLI:
    """Build trainer, module and data from configs and run the subcommand, or only build them (without a subcommand)."""
    for text in EXPECTED:
        warnings.filterwarnings("ignore", message=text)
    for name in INFORMING:
        logging.getLogger(name).setLevel(logging.WARNING)
    torch.set_float32_matmul_precision("high")
    return TrainingCLI(
        LightningModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        seed_everything_default=0,
        save_config_callback=None if only_build else KeepConfig,
        save_config_kwargs={"overwrite": True, "config_filename": CONFIG},
        args=args,
        parser_class=OneLineParser,
        run=not only_build,
    )


def fit() -> None:
    """Lightning handles signals itself: it ends the step, or tears down, but its exit codes say neither."""
    try:
        run()
    except MisconfigurationException as error:  # a trainer's settings that do not go together
        raise PhotograftError(f"the trainer: {' '.join(str(error).split()):.300}") from error
    except SIGTERMException:
        print("error: terminated (--ckpt_path last goes on from the last checkpoint)", file=sys.stderr)
        sys.exit(143)
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise end.__context__ from None
        raise
    except Exception as error:
        if not type(error).__module__.startswith("wandb."):
            raise
        hint = "WANDB_MODE=offline needs neither account nor network"
        raise PhotograftError(f"Weights & Biases: {' '.join(str(error).split()):.200} ({hint})") from error
