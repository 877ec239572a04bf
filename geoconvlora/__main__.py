"""``python -m geoconvlora``."""

from geoconvlora.cli import main

main()
