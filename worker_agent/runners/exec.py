"""`exec`: runs a program from a list of arguments, never through a shell."""

from worker_agent.lines import by_pattern, compile_pattern
from worker_agent.runners.base import CommandError, Context, Parameters, refuse_unknown, strings, text
from worker_agent.runners.program import Rules, run_program, variables


class ExecRunner:
    """Parameters: `argv`; optional `cwd`, `env`, `progress` (a regular expression)."""

    name = "exec"
    supervised = True

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()

    async def run(self, parameters: Parameters, context: Context) -> int | None:
        """Start the program and wait for its end; its exit code 0."""
        refuse_unknown(parameters, "argv", "cwd", "env", "progress")
        argv = strings(parameters, "argv")
        if not argv or not argv[0] or any("\0" in word for word in argv):
            raise CommandError("parameter 'argv' must name a program, without NUL characters")
        try:
            read = by_pattern(compile_pattern(text(parameters, "progress"))) if "progress" in parameters else None
        except ValueError as error:
            raise CommandError(str(error)) from None
        environment = context.environment() | variables(parameters, context)
        cwd = self.rules.directory(text(parameters, "cwd") if "cwd" in parameters else None, context.directory())
        program = self.rules.find(argv[0], environment.get("PATH", ""), cwd)
        self.rules.check_program(argv[0], program, environment)
        if program is None:
            raise CommandError(f"there is no program {argv[0]!r} on this worker's PATH")
        return await run_program([program, *argv[1:]], context, cwd=cwd, environment=environment, read=read)
