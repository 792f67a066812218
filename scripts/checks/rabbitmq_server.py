"""A private RabbitMQ server for checks."""

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

# Debian's scripts as they came; those in /usr/sbin drop to the system's user and its folders.
SCRIPTS = Path(os.environ.get("BROKER_TEST_RABBITMQ", "/usr/lib/rabbitmq/bin"))
DEFINITIONS = {
    "users": [{"name": "guest", "password": "guest", "tags": []}],
    "vhosts": [{"name": "/"}],
    "permissions": [{"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
}


@contextlib.contextmanager
def rabbitmq_server():
    """Starts one; its port. It has an `epmd` of its own, as the one that Erlang starts by itself would stay behind."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="broker-rabbitmq-", ignore_cleanup_errors=True)))
        port, distribution, names = free_ports(3)
        (folder / "definitions.json").write_text(json.dumps(DEFINITIONS))
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{port}\nload_definitions = {folder}/definitions.json\n"
            "log.file = false\nlog.console = true\ndisk_free_limit.absolute = 1MB\n"
        )
        environment = {
            **os.environ,
            "PATH": f"{SCRIPTS}:{os.environ['PATH']}",
            "HOME": str(folder),
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(names),
            "ERL_FLAGS": "-start_epmd false",
            # Then the script becomes the server, instead of waiting for it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

        def run(*command):
            # In no pipe: what a killed server leaves would hold it open.
            with open(folder / "log", "ab") as log:
                process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        run("epmd", "-address", "127.0.0.1", "-port", str(names))
        server = run(str(SCRIPTS / "rabbitmq-server"))
        until = time.monotonic() + 120
        while not greets(port):
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError("rabbitmq-server did not come up:\n" + (folder / "log").read_text()[-2000:])
            time.sleep(0.05)
        yield port


def greets(port):
    """Whether a server answers a client's greeting, which it does once its queues are recovered."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            client.sendall(b"AMQP\0\0\x09\x01")
            return client.recv(1) == b"\x01"
    except OSError:
        return False


def free_ports(count):
    """Ports of 127.0.0.1 that nobody listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in sockets]
