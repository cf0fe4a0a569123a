"""Edit photos from the command line: `python infer.py --help`."""

from infer.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
