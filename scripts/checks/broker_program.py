"""The `broker` program as checks call it that hold it against another client."""

import json
import subprocess
import sys
from urllib.parse import urlencode


class Ours:
    """The program, whose path is the check's first argument, with a provider and its settings."""

    def __init__(self, url, **settings):
        self.url = url + (f"?{urlencode(settings)}" if settings else "")

    def run(self, *arguments, given=""):
        command = [sys.argv[1], *arguments, "--url", self.url, "--format", "json"]
        answer = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, f"{' '.join(command)}: {answer.stderr.strip()}"
        return [json.loads(line) for line in answer.stdout.splitlines()]

    def publish(self, stream, messages, *more):
        lines = "".join(json.dumps(message) + "\n" for message in messages)
        assert len(self.run("publish", stream, "--lines", *more, given=lines)) == len(messages)

    def read(self, stream, group, count, *more, wait="2s"):
        """Reads, and acks unless told otherwise; the deliveries."""
        return self.run("read", stream, "--group", group, "-n", str(count), "--wait", wait, *more)

    def payloads(self, stream, group, count, wait="2s"):
        return [json.loads(delivery["payload"]) for delivery in self.read(stream, group, count, wait=wait)]
