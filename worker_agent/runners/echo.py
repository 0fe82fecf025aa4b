"""`echo`: puts a message into the task's log. Takes no time; the farm's smallest task."""

from worker_agent.runners.base import Context, Parameters, refuse_unknown, text


class EchoRunner:
    """Parameters: `message`."""

    name = "echo"

    def run_now(self, parameters: Parameters, context: Context) -> None:
        """Log the message as one line."""
        refuse_unknown(parameters, "message")
        context.log(text(parameters, "message", "") + "\n")
