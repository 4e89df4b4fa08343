"""`python -m sipsilo` does what the command `sipsilo` does."""

from sipsilo.cli.app import main

main()
