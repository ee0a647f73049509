"""Starts, kills and asks peers of `examples/peer`: what the scripts beside this folder share."""

import json
import os
import signal
import socket
import subprocess
import time


def free_ports(count):
    """Ports that nobody has. They are taken a moment later: nobody else is likely to have them by then."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    """Peers as processes on this machine, each with a data folder."""

    def __init__(self, program, folder, count=3, options=(), addresses=None, prefix=None):
        self.program, self.folder, self.options = program, folder, list(options)
        self.ids = list(range(1, count + 1))
        ports = free_ports(count)
        self.address = addresses or {id: f"127.0.0.1:{port}" for id, port in zip(self.ids, ports)}
        self.members = ",".join(f"{id}={self.address[id]}" for id in self.ids)
        self.prefix = prefix or {}
        self.running = {}

    @property
    def at(self):
        return ",".join(self.address.values())

    def start(self, id):
        command = self.prefix.get(id, []) + [
            self.program, "serve", "--id", str(id), "--peers", self.members,
            "--data", os.path.join(self.folder, f"peer-{id}"), *self.options,
        ]
        log = open(os.path.join(self.folder, f"peer-{id}.err"), "ab")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        line = process.stdout.readline().decode()
        if not line.startswith("listening on "):
            raise SystemExit(f"peer {id} did not start: see its log: {open(log.name).read()[-500:]}")
        self.running[id] = process
        return process

    def start_all(self):
        for id in self.ids:
            self.start(id)

    def kill(self, id, how=signal.SIGKILL):
        process = self.running.pop(id)
        process.send_signal(how)
        process.wait()

    def kill_all(self):
        for id in list(self.running):
            self.running[id].send_signal(signal.SIGCONT)
            self.kill(id)

    def call(self, *arguments, at=None, **more):
        command = [*more.pop("before", []), self.program, *arguments, "--at", at or self.at]
        return subprocess.run(command, capture_output=True, **more)

    def status(self, id, **more):
        """How a peer does; nothing if it does not answer."""
        called = self.call("status", "--json", at=self.address[id], **more)
        return json.loads(called.stdout)["answer"] if called.returncode == 0 else None

    def leader(self, patience=10):
        """Who leads, once all that run say the same."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            statuses = [self.status(id) for id in self.running]
            leaders = {(status["leader"] or {}).get("id") if status else None for status in statuses}
            if len(leaders) == 1 and (leader := leaders.pop()) in self.running:
                return leader
            time.sleep(0.02)
        raise SystemExit("nobody leads")

    def wait_until_equal(self, patience=30):
        """Waits until all that run have applied the same, and nothing more is on its way."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            statuses = [self.status(id) for id in self.running]
            if all(statuses):
                if len({number for status in statuses for number in (status["applied"], status["last"])}) == 1:
                    return statuses
            time.sleep(0.05)
        raise SystemExit(f"they did not come to the same: {statuses}")
