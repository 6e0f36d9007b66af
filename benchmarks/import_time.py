"""How long a fresh interpreter takes to `import motes`, and to print `motes --help`.

Each is the median of several fresh processes, with an empty process beside it; half a second and
one second are the most that they may take.
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

REPEATS = 7
PROGRAMS = {
    "an empty program": ["-c", "pass"],
    "import motes": ["-c", "import motes"],
    "motes --help": ["-m", "motes.cli", "--help"],
}


def seconds(arguments: list[str]) -> float:
    """Wall time of one fresh process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Print the medians."""
    for name, arguments in PROGRAMS.items():
        print(f"{name:20} {median(seconds(arguments) for _ in range(REPEATS)):.3f} s")


if __name__ == "__main__":
    main()
