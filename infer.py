"""Edit photos from the command line: `python infer.py --help`."""

import signal

if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports, which take seconds: no traceback
    from models.environment import need_packages

    need_packages("infer.py", "photograft")
    from infer.cli.main import main

    raise SystemExit(main())
