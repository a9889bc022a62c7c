"""The command line `almenara` (SCHEMAS §8): data on stdout, words on stderr, `--json` everywhere."""

from almenara.node.cli.app import main

__all__ = ["main"]
