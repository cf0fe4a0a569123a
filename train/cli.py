"""The commands of `train.py`; each imports what it needs when it runs, so that help comes at once.

* `python train.py fit -c configs/train/NAME.yaml`: see `train.fit`.
* `python train.py export CHECKPOINT OUT`: weights for `infer.py`.
* `python train.py outline MODEL --data FOLDER`: its projected discriminator learns to read outlines.
* `python train.py taught MODEL OUT`: a teacher's pictures for the finishing network.
* `python train.py bench`: how fast trainings are here.
"""

import argparse
import sys
from pathlib import Path

from models.errors import PhotograftError
from models.terminal import orderly, reader_gone, robust_streams, visible

EXPORT = "Write one file per network, all or none: OUT.generator.safetensors, OUT.encoder.safetensors, ..."
OUTLINE = "Fit the outline of a model's projected discriminator and write its file anew."
BENCH = "Time steps of a GAN, of E, and of A and B, and say where their time goes."
TAUGHT = "Write what a large network makes of a model's samples, to train the finishing network on."
HELP = f"""usage: train.py COMMAND ...

Train the networks that infer.py edits with.

  fit -c CONFIG --data.root FOLDER   train as a config of configs/train says; `fit --help` lists what else can be set
  export CHECKPOINT OUT              {EXPORT[0].lower() + EXPORT[1:]}
  outline MODEL --data FOLDER        {OUTLINE[0].lower() + OUTLINE[1:]}
  taught MODEL OUT                   {TAUGHT[0].lower() + TAUGHT[1:]}
  bench [--data FOLDER]              {BENCH[0].lower() + BENCH[1:]}

`train.py COMMAND --help` says more."""


def run_export(args: list[str]) -> None:
    """`train.py export CHECKPOINT OUT`."""
    parser = argparse.ArgumentParser(prog="train.py export", description=EXPORT)
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
    }
    for path in export(options.checkpoint, options.out, **flags):
        print(f"{visible(path)}  {path.stat().st_size / 2**20:.1f} MiB")


def run_outline(args: list[str]) -> None:
    """`train.py outline MODEL --data FOLDER`."""
    parser = argparse.ArgumentParser(prog="train.py outline", description=OUTLINE)
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


def run_taught(args: list[str]) -> None:
    """`train.py taught MODEL OUT`."""
    parser = argparse.ArgumentParser(prog="train.py taught", description=TAUGHT)
    parser.add_argument("model", help="name of a model, or path of its .generator.safetensors")
    parser.add_argument("out", type=Path, help="folder for taught-train-000.tar and taught-val-000.tar")
    parser.add_argument("--pictures", type=int, default=150, help="samples (default: 150)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: 0)")
    options = parser.parse_args(args)
    from train.taught import write_taught

    for path in write_taught(options.model, options.out, pictures=options.pictures, seed=options.seed):
        print(visible(path))


def run_bench(args: list[str]) -> None:
    """`train.py bench`."""
    parser = argparse.ArgumentParser(prog="train.py bench", description=BENCH)
    parser.add_argument("--data", type=Path, help="class folders or tar shards (default: drawn pictures)")
    parser.add_argument("--seconds", type=float, default=15.0, help="for the steps of each training (default: 15)")
    parser.add_argument("trainings", nargs="*", help="names of their configs (default: all three)")
    options = parser.parse_args(args)
    from train.bench import TRAININGS, bench

    names = options.trainings or list(TRAININGS)
    bench(options.data, names, options.seconds, print, lambda text: print(visible(text), file=sys.stderr, flush=True))


def main() -> None:
    """Entry point: errors that a user can mend are one line and exit code 2; signals are one line and 128 + n."""
    robust_streams()
    commands = {"export": run_export, "outline": run_outline, "taught": run_taught, "bench": run_bench}
    command = commands.get(" ".join(sys.argv[1:2]))
    if sys.argv[1:] in ([], ["-h"], ["--help"]):
        print(HELP)
        sys.exit(0 if sys.argv[1:] else 2)
    try:
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
