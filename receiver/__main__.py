"""`python -m receiver` is the command line."""

from receiver.cli.main import main

if __name__ == "__main__":
    main()
