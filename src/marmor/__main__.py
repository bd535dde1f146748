"""``python -m marmor`` and ``accelerate launch -m marmor`` are the command ``marmor``."""

from marmor.cli import main

if __name__ == "__main__":
    main()
