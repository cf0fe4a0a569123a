"""Edit photos from the command line: `python infer.py --help`."""

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports, which take seconds, ends without a word
    from infer.cli import main

    raise SystemExit(main())
