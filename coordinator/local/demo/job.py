"""The demo's work, as a job: one task for each frame, and one that waits for all of them."""

import sys
from pathlib import Path
from typing import Final

from schemas.job import Array, CommandSpec, Dependency, JobSpec, TaskSpec

ANIMATION: Final = "zoom.png"
SHEET: Final = "contact-sheet.png"
#: Below the farm's publish root.
PROMOTED: Final = "zoom"
#: Steps that each program reports.
_FRAME_STEPS: Final = 20
_JOIN_STEPS: Final = 3


def zoom(frames: int, samples: int) -> JobSpec:
    """A zoom of *frames* frames, each pixel of which is the mean of *samples* x *samples* points."""
    all_frames = f"--frames={frames}"
    frame = TaskSpec(
        name="frame",
        kind="exec",
        array=Array(count=frames),
        commands=[_program("frame.py", _FRAME_STEPS, "--frame={{index}}", all_frames, f"--samples={samples}")],
    )
    join = TaskSpec(
        name="join",
        kind="exec",
        after=[Dependency(task=frame.name)],
        commands=[_program("join.py", _JOIN_STEPS, all_frames, f"--animation={ANIMATION}", f"--sheet={SHEET}")],
        promote=PROMOTED,
    )
    return JobSpec(name=f"fractal zoom, {frames} frames", tasks=[frame, join], submitter="demo")


def _program(name: str, steps: int, *options: str) -> CommandSpec:
    path = Path(__file__).with_name(name)
    # -P: what lies beside the program is not for import.
    return CommandSpec(name="exec", parameters={"argv": [sys.executable, "-P", str(path), *options]}, steps=steps)
