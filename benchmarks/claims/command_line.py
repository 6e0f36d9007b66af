"""Read the command line of a claim that is run block by block."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def run_missing(protocol: str | None, blocks: int, run: Callable[[int], object]) -> None:
    """Run so many blocks as the command line says, or none where only the figure is wanted.

    Args:
        protocol: the claim's docstring, which `--help` shows.
        blocks: of the whole protocol.
        run: runs what is missing of a number of blocks.
    """
    parser = argparse.ArgumentParser(
        description=protocol, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=blocks, help="of the protocol's")
    parser.add_argument("--only-figure", action="store_true", help="and table, from the records")
    given = parser.parse_args()
    if not given.only_figure:
        run(given.blocks)
