"""Train networks from the command line: `python train.py --help`."""

if __name__ == "__main__":
    from models.environment import need_packages

    need_packages("train.py", "photograft-train")
    from train.cli import main

    raise SystemExit(main())
