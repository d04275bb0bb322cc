"""``python -m mixmend`` is the command line."""

from mixmend.cli import main

if __name__ == "__main__":
    main()
