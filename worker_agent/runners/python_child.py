"""The child of the `python` runner: calls one function and sends back what it returns.

This file is run by itself, and imports nothing but the standard library, so that the function meets no package of ours.
Standard input holds the call as JSON; the answer, `{"result": ...}` or `{"error": ...}`, goes to the file descriptor in
the first argument. Whatever the function prints is the task's log (see the line protocol in docs/runners.md).
"""

import asyncio
import errno
import importlib
import inspect
import json
import os
import sys
import traceback
from typing import Any


def main() -> int:
    """Call it; the exit code is 0 when it returned."""
    answer_to = int(sys.argv[1])
    os.set_inheritable(answer_to, False)  # noqa: FBT003
    call = json.loads(sys.stdin.buffer.read())
    sys.argv = [call["callable"]]
    if os.environ.get("FARMHAND_PYTHON_PATH"):
        sys.path[:0] = os.environ["FARMHAND_PYTHON_PATH"].split(os.pathsep)
    try:
        answer, code = {"result": _call(call)}, 0
        body = json.dumps(answer, allow_nan=False)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        body = json.dumps({"result": None} if code == 0 else {"error": f"{call['callable']} left with {error.code!r}"})
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the answer
        traceback.print_exc()
        words = "".join(traceback.format_exception_only(error)).strip()
        body, code = json.dumps({"error": words[:3000], "cause": _cause(error)}), 1
    sys.stdout.flush()
    with os.fdopen(answer_to, "wb") as file:
        file.write(body.encode())
    return code


def _cause(error: BaseException) -> str | None:
    """What the exception says of the cause: no memory, or no room on the disk."""
    if isinstance(error, MemoryError):
        return "memory"
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "disk" if full else None


def _call(call: dict[str, Any]) -> object:
    module, _, path = call["callable"].partition(":")
    function: Any = importlib.import_module(module)
    for part in path.split("."):
        function = getattr(function, part)
    value = function(*call["args"], **call["kwargs"])
    return asyncio.run(value) if inspect.iscoroutine(value) else value


if __name__ == "__main__":
    raise SystemExit(main())
