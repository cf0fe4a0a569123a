"""Train networks from the command line: `python train.py --help`."""

from train.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
