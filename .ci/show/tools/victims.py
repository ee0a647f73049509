"""Peers as processes of one's own, and what can be seen of them from outside."""
import json
import os
import signal
import socket
import subprocess
import time

import wire


def free_ports(count):
    """Ports that nobody has. They are free again when this returns: somebody may be quicker, and a start fails."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


class Peer:
    def __init__(self, program, folder, number, ports, options=(), environment=None):
        self.program, self.folder, self.number, self.ports = program, folder, number, ports
        self.options, self.process = list(options), None
        self.at = ("127.0.0.1", ports[number - 1])
        self.data = os.path.join(folder, f"data-{number}")
        self.log = os.path.join(folder, f"log-{number}")

    def start(self):
        peers = ",".join(f"{place}=127.0.0.1:{port}" for place, port in enumerate(self.ports, 1))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "serve", "--id", str(self.number), "--peers", peers, "--data", self.data, *self.options],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(8)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def is_up(self):
        return self.process is not None and self.process.poll() is None

    def _status(self, name):
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(name))

    def rss(self):
        """What it holds, in MiB."""
        return self._status("VmRSS:")

    def peak(self):
        """The most that it held since `forget_peak`, in MiB."""
        return self._status("VmHWM:")

    def forget_peak(self):
        try:
            with open(f"/proc/{self.process.pid}/clear_refs", "w") as file:
                file.write("5")
        except OSError:
            pass  # Not ours to forget: then the peak is the one since the start.

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu(self):
        """Seconds of processor time that it has had."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def said(self):
        with open(self.log, errors="replace") as file:
            return file.read()


class Cluster:
    def __init__(self, program, folder, count=3, options=lambda number: ()):
        ports = free_ports(count)
        self.program = program
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.peers = [Peer(program, folder, number, ports, options(number)) for number in range(1, count + 1)]
        self.credentials = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for peer in self.peers:
            peer.stop()

    def start(self, but=()):
        for peer in self.peers:
            if peer.number not in but:
                peer.start()
        if self.leader(20) is None:
            raise SystemExit("no leader within 20 seconds: " + self.peers[0].said()[-2000:])
        return self

    def status(self, peer):
        """What the peer says of itself, or nothing."""
        told = subprocess.run(
            [self.program, "status", "--json", "--at", f"127.0.0.1:{peer.at[1]}", "--deadline-ms", "5000", *self.credentials],
            capture_output=True, text=True)
        try:
            said = json.loads(told.stdout)
        except ValueError:
            return None
        return said.get("answer")

    def leader(self, patience=10):
        """The peer that leads, as most see it."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            for peer in self.peers:
                if not peer.is_up():
                    continue
                status = self.status(peer)
                if status and status["role"] == "leader" and status.get("settled", True):
                    return peer
            time.sleep(0.1)
        return None

    def terms(self):
        return [status and status["term"] for status in map(self.status, filter(Peer.is_up, self.peers))]
