"""Commands that are programs, on a real agent; Blender and FFmpeg are played by scripts that say what those say."""

from pathlib import Path

import pytest

from schemas.task import Command, Input, Outcome, TaskOutput, TaskProgress
from schemas.worker import WorkerOnline
from tests.integration.agent.conftest import StartAgent
from tests.integration.agent.peer import Peer, an_attempt

BLENDER = """#!/bin/sh
for word; do last=$word; done
echo "Blender 4.2.1"
echo "Read blend: $3"
while [ "$1" != --render-output ]; do shift; done
for frame in $(echo "$last" | sed 's/\\.\\./ /; s/,/ /g' | xargs -n2 seq 2>/dev/null); do
    echo "Fra:$frame Mem:12.50M (Peak 14.00M) | Time:00:00.41 | Scene, ViewLayer | Sample 16/128"
    name=$(echo "$2" | sed "s/######/$(printf %06d $frame)/").png
    echo "picture $frame" > "$name"
    echo "Saved: '$name'"
    echo "Time: 00:00.50 (Saving: 00:00.01)"
done
echo "Blender quit"
"""
LIAR = "#!/bin/sh\necho Blender quit\n"
FFMPEG = """#!/bin/sh
while [ "$1" != -i ]; do shift; done
for word; do film=$word; done
for number in 1 2 3; do cat "$(printf "$2" $number)"; done > "$film"
echo frame=2; echo fps=0.00; echo out_time_us=83333; echo progress=continue
echo "deprecated pixel format used, make sure you did set range correctly" >&2
echo frame=3; echo out_time_us=125000; echo progress=end
"""


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, str]:
    """Stand-ins, at places that no PATH knows."""
    found = {}
    for name, script in (("blender", BLENDER), ("ffmpeg", FFMPEG), ("liar", LIAR)):
        path = tmp_path / "opt" / f"{name}-1"
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
        found[name] = str(path)
    return found


async def test_frames_are_rendered_shown_and_made_into_a_film(
    peer: Peer, start_agent: StartAgent, programs: dict[str, str], tmp_path: Path
) -> None:
    await start_agent(programs=programs, executables=["nothing-else"])
    online = await peer.hear(WorkerOnline)
    assert {"blender-render", "frames-to-video", "copy-file"} <= set(online.kinds)
    (tmp_path / "shot.blend").touch()
    render = {"file": str(tmp_path / "shot.blend"), "frames": "9-11", "format": "PNG"}
    await peer.assign(an_attempt(1, 1, Command(name="blender-render", parameters=render)))
    for number in ("09", "10", "11"):
        picture = await peer.hear(TaskOutput)
        assert (picture.file.name, picture.file.media_type) == (f"frame-0000{number}.png", "image/png")
    finished = await peer.finished(1)
    assert finished.outcome is Outcome.COMPLETED, finished.error
    assert [output.name for output in finished.outputs] == [f"frame-0000{n}.png" for n in ("09", "10", "11")]
    await peer.hear(TaskProgress, lambda event: (event.done, event.total) == (3, 3))
    assert "Saved: '" in await peer.log_of(1, "Blender quit\n")

    film = Command(name="frames-to-video", parameters={"input": "*.png", "output": "film.mp4", "fps": 24})
    await peer.assign(an_attempt(2, 1, film, inputs=[Input(name="frames", first=1, attempts=[1])]))
    finished = await peer.finished(2)
    assert finished.outcome is Outcome.COMPLETED, finished.error
    assert (tmp_path / "outputs/2/1/film.mp4").read_text() == "picture 9\npicture 10\npicture 11\n"
    await peer.hear(TaskProgress, lambda event: (event.task, event.done, event.total) == (2, 3, 3))
    assert await peer.log_of(2, "\n") == "deprecated pixel format used, make sure you did set range correctly\n"
    assert not (tmp_path / "data/scratch/2-1").exists()


async def test_a_program_that_has_written_nothing_has_failed_whatever_it_says(
    peer: Peer, start_agent: StartAgent, programs: dict[str, str], tmp_path: Path
) -> None:
    programs["blender"] = programs["liar"]
    await start_agent(programs=programs)
    await peer.hear(WorkerOnline)
    (tmp_path / "shot.blend").touch()
    render = {"file": str(tmp_path / "shot.blend"), "frames": "1"}
    await peer.assign(an_attempt(1, 1, Command(name="blender-render", parameters=render)))
    error = (await peer.finished(1)).error
    assert error == "blender ended without an error, but has not written 'frame-000001'; see the log"


async def test_files_are_copied_moved_and_made_within_the_roots(
    peer: Peer, start_agent: StartAgent, tmp_path: Path
) -> None:
    root = tmp_path / "farm"
    (root / "in").mkdir(parents=True)
    (root / "in" / "a.txt").write_text("hello")
    await start_agent(roots=[str(root)], executables=["nothing-else"])
    await peer.hear(WorkerOnline)
    await peer.assign(
        an_attempt(
            1,
            1,
            Command(name="make-directory", parameters={"path": str(root / "out")}),
            Command(
                name="copy-file",
                parameters={"source": str(root / "in/a.txt"), "destination": str(root / "out/b.txt")},
            ),
            Command(
                name="move-directory", parameters={"source": str(root / "in"), "destination": str(root / "archive")}
            ),
        )
    )
    finished = await peer.finished(1)
    assert finished.outcome is Outcome.COMPLETED, finished.error
    assert (root / "out/b.txt").read_text() == (root / "archive/a.txt").read_text() == "hello"
    # Bytes are the steps of a copy.
    await peer.hear(TaskProgress, lambda event: event.total == 1 + len("hello") + 1)

    outside = Command(name="copy-file", parameters={"source": "/etc/passwd", "destination": str(root / "x")})
    await peer.assign(an_attempt(2, 1, outside))
    assert "'roots'" in str((await peer.finished(2)).error)
    again = Command(
        name="copy-file", parameters={"source": str(root / "archive/a.txt"), "destination": str(root / "out")}
    )
    await peer.assign(an_attempt(3, 1, again))
    finished = await peer.finished(3)
    assert finished.error is not None
    assert finished.error.endswith(f"{root / 'out'} is a directory: say the name of the file in it")
