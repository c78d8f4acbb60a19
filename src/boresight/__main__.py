"""`python -m boresight`, as torchrun starts it: `torchrun -m boresight train …`."""

from boresight.cli import main

if __name__ == "__main__":
    main()
