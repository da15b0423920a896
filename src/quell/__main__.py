"""``python -m quell`` is ``quell``."""

from quell.cli.main import run

if __name__ == "__main__":
    run()
