"""A task's work: the sum of the squares from FIRST to LAST, written to DIRECTORY/NAME. Standard library only.

python -P part.py DIRECTORY NAME FIRST LAST
"""

import os
import sys
from pathlib import Path


def squares(directory: str, name: str, first: int, last: int) -> int:
    """Compute it, and write it down in one piece: two attempts write the same."""
    found = sum(number * number for number in range(first, last + 1))
    path = Path(directory, name)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(f"{found}\n")
    draft.replace(path)
    return found


if __name__ == "__main__":
    print(squares(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
