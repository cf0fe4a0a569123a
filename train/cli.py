"""The commands of `train.py`; each imports what it needs when it runs, so that help comes at once."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from models.errors import PhotograftError
from models.terminal import orderly, reader_gone, robust_streams, visible

FIT = "Train as a config of configs/train says, in a folder of its own: runs/NAME, or runs/NAME/v002 beside a run."
VALIDATE = "Measure a checkpoint on the validation pictures: Fréchet distance, reconstruction."
EXPORT = "Write one file per network, all or none: OUT.generator.safetensors, OUT.encoder.safetensors, ..."
OUTLINE = "Fit the outline of a model's projected discriminator and write its file anew."
BENCH = "Time steps of a GAN, of E, and of A and B, and say where their time goes."
TURNED = "Write a table of the heads that are turned away, so that a training draws them more often, and a sheet."
TAUGHT = "Write what a large network makes of a model's samples, to train the finishing network on."
DEMO = "Draw a small data set, train everything on it, and edit a photo with the result: some minutes."
COMMANDS = {
    "demo": ("", DEMO),
    "fit": ("-c CONFIG --data.root FOLDER", FIT),
    "validate": ("-c CONFIG --data.root FOLDER --ckpt_path last", VALIDATE),
    "export": ("CHECKPOINT OUT", EXPORT),
    "outline": ("MODEL --data FOLDER", OUTLINE),
    "turned": ("--data FOLDER OUT.csv", TURNED),
    "taught": ("MODEL OUT", TAUGHT),
    "bench": ("[--data FOLDER]", BENCH),
}
HELP = """usage: train.py COMMAND ...

Train the networks that infer.py edits with.

{commands}

A generator, then E and A and B for it, then an edit:
  train.py fit -c configs/train/sngan_heads128.yaml --data.root FOLDER
  train.py export runs/sngan_heads128/last.ckpt models/mine
  train.py fit -c configs/train/encoder_heads128.yaml --data.root FOLDER --generator models/mine.generator.safetensors
  train.py fit -c configs/train/auxiliary_heads128.yaml --data.root FOLDER --generator models/mine.generator.safetensors
  infer.py edit PHOTO --model models/mine.generator.safetensors --to CLASS

Go on with a run that was stopped or killed (auto: begin it if there is none):
  train.py fit -c CONFIG --data.root FOLDER --ckpt_path last
Change a setting, add a config:
  train.py fit -c CONFIG -c configs/train/logger_wandb.yaml --data.init_args.batch_size 32 --trainer.max_steps 9000

`train.py COMMAND --help` says more; docs/training.md explains it.""".format(
    commands="\n".join(f"  {name} {given}".rstrip() + f"\n      {text}" for name, (given, text) in COMMANDS.items())
)


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Raise PhotograftError."""
        raise PhotograftError(f"{message} ({self.prog} --help)")


def run_export(args: list[str]) -> None:
    """`train.py export CHECKPOINT OUT`."""
    parser = _Parser(prog="train.py export", description=EXPORT)
    parser.add_argument("checkpoint", type=Path, help="a .ckpt written by train.py fit")
    parser.add_argument("out", type=Path, help="folder and stem of the files, such as models/weights/my-model")
    parser.add_argument("--last", action="store_true", help="the last step's weights, not their moving average")
    parser.add_argument(
        "--standing",
        type=int,
        default=64,
        metavar="N",
        help="measure the averaged generator's batch norm on N batches of samples; 0: keep training's (default: 64)",
    )
    parser.add_argument(
        "--spread",
        type=float,
        default=1.0,
        metavar="S",
        help="let the prior reach S times as far: samples are more varied, and less safe (default: 1)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--float32", action="store_true", help="store float32 (default: float16)")
    parser.add_argument(
        "--learning-rate", type=float, metavar="R", help="of projection with these A and B, kept in their file"
    )
    options = parser.parse_args(args)
    from train.export import export

    flags = {
        "average": not options.last,
        "standing": options.standing,
        "spread": options.spread,
        "half": not options.float32,
        "learning_rate": options.learning_rate,
        "overwrite": options.overwrite,
    }
    for path in export(options.checkpoint, options.out, **flags):
        print(f"{visible(path)}  {path.stat().st_size / 2**20:.2f} MiB")


def run_outline(args: list[str]) -> None:
    """`train.py outline MODEL --data FOLDER`."""
    parser = _Parser(prog="train.py outline", description=OUTLINE)
    parser.add_argument("model", help="name of a model, or path of its .generator.safetensors")
    parser.add_argument("--data", type=Path, required=True, help="its data: class folders or tar shards")
    parser.add_argument("--pictures", type=int, default=1500, help="real pictures that are segmented (default: 1500)")
    parser.add_argument("--samples", type=int, default=1000, help="samples that are segmented (default: 1000)")
    parser.add_argument("--epochs", type=int, default=10, help="of the fit (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of samples and order (default: 0)")
    options = vars(parser.parse_args(args))
    from train.perception.outline import teach_outline

    path, found = teach_outline(options.pop("model"), options.pop("data"), **options)
    for kind, value in found.items():
        print(f"IoU with DeepLab on {kind} held out, median: {value:.3f}")
    print(visible(path))


def run_turned(args: list[str]) -> None:
    """`train.py turned --data FOLDER OUT.csv`."""
    parser = _Parser(prog="train.py turned", description=TURNED, epilog="Then: train.py fit ... --data.often OUT.csv")
    parser.add_argument("out", type=Path, help="table to write, and a sheet of heads beside it (OUT.png)")
    parser.add_argument("--data", type=Path, required=True, help="heads: class folders or tar shards")
    parser.add_argument(
        "--share", type=float, default=0.25, help="of each class: those turned the most (default: 0.25)"
    )
    parser.add_argument("--times", type=int, default=3, help="they are drawn where others are once (default: 3)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    options = vars(parser.parse_args(args))
    from train.perception.turned import QUANTILES, write_turned

    found = write_turned(options.pop("data"), options.pop("out"), **options)
    at = ", ".join(f"{q:.0%} {value:.2f}" for q, value in zip(QUANTILES, found.quantiles, strict=True))
    print(f"turn of heads (0: looks at the viewer): {at}")
    print(f"{found.often:,} of {found.pictures:,} pictures are drawn {options['times']} times as often")
    for path in found.files:
        print(visible(path))


def run_taught(args: list[str]) -> None:
    """`train.py taught MODEL OUT`."""
    parser = _Parser(prog="train.py taught", description=TAUGHT)
    parser.add_argument("model", help="name of a model, or path of its .generator.safetensors")
    parser.add_argument("out", type=Path, help="folder for taught-train-000.tar and taught-val-000.tar")
    parser.add_argument("--pictures", type=int, default=150, help="samples (default: 150)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: 0)")
    options = parser.parse_args(args)
    from train.taught import write_taught

    for path in write_taught(options.model, options.out, pictures=options.pictures, seed=options.seed):
        print(visible(path))


def run_demo(args: list[str]) -> None:
    """`train.py demo`."""
    parser = _Parser(prog="train.py demo", description=DEMO)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of it (default: runs/demo)")
    parser.add_argument("--pictures", type=int, default=1200, help="that are drawn (default: 1200)")
    parser.add_argument("--images", type=int, default=40_000, help="that the GAN's training sees (default: 40000)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    options = vars(parser.parse_args(args))
    from train.demo import run_demo as run

    run(options.pop("out"), **options)


def run_bench(args: list[str]) -> None:
    """`train.py bench`."""
    parser = _Parser(prog="train.py bench", description=BENCH)
    parser.add_argument("--data", type=Path, help="class folders or tar shards (default: drawn pictures)")
    parser.add_argument("--seconds", type=float, default=15.0, help="for the steps of each training (default: 15)")
    parser.add_argument("trainings", nargs="*", help="names of their configs (default: all three)")
    options = parser.parse_args(args)
    from train.bench import TRAININGS, bench

    names = options.trainings or list(TRAININGS)
    bench(options.data, names, options.seconds, print, lambda text: print(visible(text), file=sys.stderr, flush=True))


RUN = {
    "export": run_export,
    "outline": run_outline,
    "turned": run_turned,
    "taught": run_taught,
    "demo": run_demo,
    "bench": run_bench,
}


def main() -> None:
    """Entry point: errors that a user can mend are one line and exit code 2; signals are one line and 128 + n."""
    robust_streams()
    name = " ".join(sys.argv[1:2])
    command = RUN.get(name)
    if sys.argv[1:] in ([], ["-h"], ["--help"]):
        print(HELP)
        sys.exit(0 if sys.argv[1:] else 2)
    try:
        if name not in COMMANDS:
            raise PhotograftError(f"unknown command {name!r:.60}: choose from {', '.join(COMMANDS)}")
        if command is None:
            from train.fit import fit

            fit()
        else:
            with orderly() as signals:
                command(sys.argv[2:])
    except PhotograftError as error:
        sys.exit(_refusal(str(error)))
    except BrokenPipeError:
        sys.exit(reader_gone())
    except OSError as error:  # folders and disks
        sys.exit(_refusal(f"{error.filename or 'files'}: {error.strerror or error}"))
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        sys.exit(signals.code if command else 130)


def _refusal(text: str) -> int:
    print(f"error: {visible(' '.join(text.split()))}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
