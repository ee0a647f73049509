"""What a peer bears: connections that mean harm, one kind after the other, and what an honest client sees of it.

    hostile.py PROGRAM FOLDER [PROGRAM_WITH_TLS]

Peers and clients are processes of this machine, and so is who attacks: it yields the processor to them (`nice`),
for it stands for somebody whose machine is another one. A line for each check, with what was measured; a check
whose line says so may be slow because the machine is, so latency is judged against a floor.
"""
import multiprocessing
import os
import random
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import traceback

import wire
from victims import Cluster
from wire import (ADMIN, CLIENT, RAFT, SENDER_HOSTED, SENDER_PROMISE, Bytes, Cap, Closed, Line, Raw, Struct, call, client, command, connect, descriptor, finish, is_closed, kv_get, kv_set, outcome, promised,
                  propose, query, resolve, u64, until)

QUICK = bool(os.environ.get("QUICK"))
CONNECTIONS = 50 if QUICK else 200
# Of latency, in ms: on a machine with two processors that others use, the 99th percentile of a client that nobody
# disturbs was seen between 2 and 16 ms.
FLOOR_MS = 25
# Of memory, in MiB.
OVER_IDLE, UNREAD = 64, 256
# Whoever holds a peer up is rid of after so many seconds.
PATIENCE = 8 if QUICK else 60
# Shorter waits, for the quick run; what is measured otherwise are the defaults.
SETTINGS = "[network]\nhandshake_ms = 1500\nhalf_frame_ms = 3000\nidle_ms = 3000\n" if QUICK else ""
MIB = 1 << 20

failed = []
context = multiprocessing.get_context("fork")


def say(ok, name, figures):
    """The line of a check."""
    # In one piece: in the quick run several say something at a time.
    sys.stdout.write(f"{'ok' if ok else 'FAILED':<7} {name:<58} {figures}\n")
    sys.stdout.flush()
    if not ok:
        failed.append(name)


# Somebody honest.

def honest(at, pipe):
    """Sets and gets, one after the other, until told to end; tells of what was between two marks."""
    line, took, lost = None, [], 0
    while True:
        if pipe.poll():
            if pipe.recv() == "end":
                return
            pipe.send((sorted(took), lost))
            took, lost = [], 0
        began = time.perf_counter()
        try:
            line = line or client(at, timeout=5)
            done = line.ask(line.client, CLIENT, wire.PROPOSE, propose([command(kv_set(b"honest", b"value"))]))
            got = line.ask(line.client, CLIENT, wire.QUERY, query(kv_get(b"honest")))
            outcomes = outcome(done.content.pointer(0)[0]), outcome(got.content.pointer(0))
            if outcomes != ("applied", "applied"):
                lost += 1
                time.sleep(0.005)
        except (OSError, Closed, AttributeError):
            line, lost = None, lost + 1
            time.sleep(0.01)
        took.append(time.perf_counter() - began)


class Honest:
    """An honest client in a process of its own."""

    def __init__(self, at):
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=honest, args=(at, theirs), daemon=True)
        self.process.start()

    def mark(self):
        """The 99th percentile since the last mark, in ms, how many rounds there were, and how many failed."""
        self.pipe.send("mark")
        took, lost = self.pipe.recv()
        if not took:
            return float("inf"), 0, lost
        return took[min(len(took) - 1, len(took) * 99 // 100)] * 1000, len(took), lost

    def end(self):
        self.pipe.send("end")
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()


# Somebody who is not.

def _apart(pipe, attack, arguments):
    os.nice(15)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    try:
        pipe.send((True, attack(*arguments)))
    except Exception:
        pipe.send((False, traceback.format_exc()))


class Attack:
    """An attack in a process of its own."""

    def __init__(self, attack, *arguments):
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_apart, args=(theirs, attack, arguments), daemon=True)
        self.process.start()

    def is_over(self):
        return self.pipe.poll()

    def result(self, seconds):
        try:
            if not self.pipe.poll(seconds):
                return False, f"not over after {seconds} s"
            return self.pipe.recv()
        except EOFError:
            return False, "it died"
        finally:
            self.process.kill()
            self.process.join()


def hold(at, count, greeted, first, drip=None):
    """Opens connections, sends `first`, then a byte of `drip` each second. Says when the last was closed."""
    lines = []
    for _ in range(count):
        line = client(at) if greeted else Line(at)
        line.send(first)
        lines.append(line)
    began, at_byte = time.monotonic(), 0
    waiting = lines
    last = 0.0
    while waiting and time.monotonic() - began < PATIENCE + 5:
        waiting = [line for line in waiting if not is_closed(line.socket)]
        if not waiting:
            last = time.monotonic() - began
        second = int(time.monotonic() - began)
        if drip and second > at_byte and at_byte < len(drip):
            for line in waiting:
                try:
                    line.socket.send(drip[at_byte:at_byte + 1])
                except OSError:
                    pass
            at_byte = second
        time.sleep(0.1)
    return len(lines), len(waiting), last or PATIENCE + 5


def pour(at, count, frames, seconds, reads, greeted):
    """Sends the same frames again and again, as fast as they are taken."""
    lines = []
    for _ in range(count):
        try:
            lines.append(client(at) if greeted else Line(at))
        except (OSError, Closed):
            pass
    if not lines:
        return 0, 0, 0
    data = memoryview(frames(lines[0]))
    progress = {line: 0 for line in lines}
    for line in lines:
        line.socket.setblocking(False)
    sent, end = 0, time.monotonic() + seconds
    while progress and time.monotonic() < end:
        moved = False
        for line in list(progress):
            begin = progress[line]
            try:
                count_sent = line.socket.send(data[begin:begin + (1 << 18)])
                progress[line] = (begin + count_sent) % len(data)
                sent, moved = sent + count_sent, True
            except BlockingIOError:
                pass
            except OSError:
                del progress[line]
                continue
            try:
                if reads and not line.socket.recv(1 << 20):
                    del progress[line]
            except BlockingIOError:
                pass
            except OSError:
                del progress[line]
        if not moved:
            time.sleep(0.002)
    return len(lines), len(lines) - len(progress), sent


def pings(line):
    return b"".join(call(number, line.client, CLIENT, wire.PING, Struct(u64(0))) for number in range(100, 20_100))


def queries(line):
    return b"".join(call(number, line.client, CLIENT, wire.QUERY, query(kv_get(b"honest"))) for number in range(100, 20_100))


def proposals(line):
    return b"".join(call(number, line.client, CLIENT, wire.PROPOSE, propose([command(kv_set(b"poured", b"v"))]))
                    for number in range(100, 20_100))


def long_answers(line):
    return b"".join(call(number, line.client, CLIENT, wire.QUERY, query(kv_get(b"long"), local=number % 2 == 0))
                    for number in range(100, 4_196))


def long_questions(line):
    """Nobody can make sense of them."""
    return b"".join(call(number, line.client, CLIENT, wire.QUERY, query(b"\xff" + bytes(MIB), local=True))
                    for number in range(100, 116))


def long_proposals(line):
    # As many keys as make 32 MiB: what is kept is theirs, and not what is judged here.
    return b"".join(call(number, line.client, CLIENT, wire.PROPOSE,
                         propose([command(kv_set(b"long-%d" % (number % 32), bytes(MIB)))])) for number in range(100, 132))


def handshakes(line):
    return b"".join(connect(number, wire.client_hello()) for number in range(100, 10_100))


def bootstraps(line):
    return b"".join(wire.bootstrap(number) for number in range(100, 100_100))


def sessions(line):
    chance = random.Random(os.getpid())
    return b"".join(call(number, line.client, CLIENT, wire.OPEN_SESSION, wire.session(chance.getrandbits(128)))
                    for number in range(100, 50_100))


def joins(line):
    """Of a kind that nobody implements: each is sent back whole."""
    return wire.message(12, Struct(u64(0), [Struct(u64(1)), Bytes(bytes(60_000))])) * 64


def table_of_caps(line):
    caps = [Struct(struct.pack("<HHI", SENDER_HOSTED, 0, number)) for number in range(500_000)]
    return call(100, line.client, CLIENT, wire.PING, Struct(u64(0)), caps=caps)


def open_and_close(at, count):
    for number in range(count):
        line = client(at) if number % 2 else Line(at)
        line.close()
    return count


# What is the same in every check.

class Target:
    """A peer that is attacked, and what is known of it before."""

    def __init__(self, cluster, leads):
        self.cluster, self.leads = cluster, leads
        self.choose()
        self.idle = self.rss

    def choose(self):
        """Whoever leads now, or does not: that is the one that is attacked."""
        for _ in range(5):
            self.leader = self.cluster.leader()
            others = [peer for peer in self.cluster.peers if peer is not self.leader]
            self.peer = self.leader if self.leads else others[0]
            self.honest = Honest(self.leader.at)
            self.terms = self.cluster.terms()
            self.before = self.watch(1 if QUICK else 4)
            if self.before[2] == 0 and self.cluster.terms() == self.terms:
                break
            # Another one was elected meanwhile.
            self.honest.end()
        self.descriptors, self.rss = self.peer.descriptors(), self.peer.rss()

    def watch(self, seconds):
        self.honest.mark()
        time.sleep(seconds)
        return self.honest.mark()

    def judge(self, name, memory, during, notes="", latency=True, elections=True, closed=True, holds=True):
        """Says what became of it."""
        peer, figures, ok = self.peer, [], holds
        if not peer.is_up():
            said = [line for line in peer.said().splitlines() if "INFO" not in line][-2:]
            say(False, name, f"the peer ended: {peer.process.returncode} {said}")
            raise Fallen
        peak, rss = peer.peak(), peer.rss()
        figures.append(f"+{peak - self.rss:.0f} MiB of {memory}")
        ok &= peak - self.rss <= memory
        p99, rounds, lost = during
        limit = 2 * max(self.before[0], FLOOR_MS)
        figures.append(f"p99 {self.before[0]:.0f} -> {p99:.0f} ms, {lost} of {rounds} lost")
        if latency:
            ok &= p99 <= limit and lost == 0
        if closed:
            back = until(lambda: peer.descriptors() <= self.descriptors + 2, 5)
            figures.append(f"fds {self.descriptors} -> {peer.descriptors()}")
            ok &= back is not None
        terms = self.cluster.terms()
        if elections:
            figures.append(f"term {self.terms[0]} -> {terms[0]}")
            ok &= terms == self.terms
        say(ok, name, ", ".join(figures + ([notes] if notes else [])))
        if terms != self.terms and self.peer.rss() <= self.idle + OVER_IDLE:
            # A new leader is one that the honest client has to find.
            self.honest.end()
            self.choose()
        elif self.peer.rss() > self.idle + OVER_IDLE:
            # What the allocator keeps would hide what the next attack costs.
            self.honest.end()
            self.peer.stop()
            self.peer.start()
            self.choose()
        self.rss = self.peer.rss()

    def holding(self, name, greeted, first, drip=None, count=CONNECTIONS):
        """Connections that do nothing: they cost little, and are closed in time."""
        self.peer.forget_peak()
        attack = Attack(hold, self.peer.at, count, greeted, first, drip)
        time.sleep(0.5)
        during = self.watch(1.5 if QUICK else 5)
        fine, result = attack.result(PATIENCE + 25)
        opened, left, last = result if fine else (0, count, 0)
        notes = f"{opened - left} of {opened} closed within {last:.0f} s" if fine else result
        self.judge(name, OVER_IDLE, during, notes, holds=fine and left == 0 and last <= PATIENCE)

    def pouring(self, name, frames, memory=UNREAD, count=CONNECTIONS, reads=False, latency=True, greeted=True):
        """Connections that never stop: they cost a bounded sum, and the others go on."""
        self.peer.forget_peak()
        attack = Attack(pour, self.peer.at, count, frames, 3 if QUICK else 8, reads, greeted)
        time.sleep(0.8)
        during = self.watch(1.8 if QUICK else 6)
        fine, result = attack.result(40)
        opened, closed, sent = result if fine else (0, 0, 0)
        notes = f"{sent / MIB:.0f} MiB sent, {closed} of {opened} closed" if fine else result
        self.judge(name, memory, during, notes, latency=latency, holds=fine)

    def doing(self, name, attack, *arguments, memory=OVER_IDLE, seconds=60, **more):
        """Something else, which says itself whether it was as it should be, and what was to be seen."""
        self.peer.forget_peak()
        self.honest.mark()
        fine, result = Attack(attack, *arguments).result(seconds)
        holds, notes = result if fine else (False, result.splitlines()[-1])
        self.judge(name, memory, self.honest.mark(), notes, holds=holds, **more)


class Fallen(Exception):
    """The peer is gone."""


def half_of(size):
    """The front of a frame of so many bytes."""
    return struct.pack("<II", 0, size // 8 - 1) + bytes(16)


def quiet(target):
    """Whoever holds on to connections."""
    forever = call(50, wire.imported(1), CLIENT, wire.PING, Struct(u64(0)), to_yourself=True)
    canceled = b"".join(call(number, wire.imported(1), CLIENT, wire.QUERY, query(b"\0\1a")) + finish(number)
                        for number in range(100, 110))
    rows = [("mute", False, b"", None), ("half a header", False, b"\0\0\0", None),
            ("64 MiB announced, 24 bytes sent", False, half_of(64 * MIB), None),
            ("4 MiB announced before the handshake", False, half_of(4 * MIB), None),
            ("1 byte/s before the handshake", False, b"\0", wire.bootstrap(0)[1:]),
            ("4 MiB announced after the handshake", True, half_of(4 * MIB), None),
            ("mute after the handshake", True, b"", None),
            ("1 byte/s after the handshake", True, b"\0", bytes(3) + half_of(64 << 10)[4:] + bytes(200)),
            ("a call whose results stay, then mute", True, forever, None),
            ("calls that are cancelled, then mute", True, canceled, None)]
    if QUICK:
        # All at once, a few of each.
        attacks = [(row[0], Attack(hold, target.peer.at, CONNECTIONS // 10, *row[1:])) for row in rows]
        during = target.watch(2)
        for name, attack in attacks:
            fine, result = attack.result(PATIENCE + 25)
            say(fine and result[1] == 0, name, f"{result[0] - result[1]} of {result[0]} closed within {result[2]:.0f} s" if fine else result)
        return target.judge("all of these at once", OVER_IDLE, during)
    for row in rows:
        target.holding(*row)


def garbage(at):
    """Each of these ends its connection within a moment. Returns whether, and what did not."""
    chance, left = random.Random(1), []
    words = lambda *words: struct.pack("<II", 0, len(words)) + b"".join(struct.pack("<Q", word) for word in words)
    deep = None
    for _ in range(200):
        deep = Struct(b"", [deep])
    wild = [0x7FFFFFFC, 0x00FF00FF7FFFFFFC, 1 | 1 << 34 | 7 << 32, 2 | 77 << 32, 0xFFFFFFFFFFFFFFFF, 1 | 0x7FFFFFF << 35 | 6 << 32]
    rows = [("random bytes", False, chance.randbytes(4096)), ("HTTP", False, b"GET / HTTP/1.1\r\nHost: peer\r\n\r\n"),
            ("4 Gi segments", False, b"\xff\xff\xff\xff"), ("65 segments", False, struct.pack("<I", 64) + bytes(264)),
            ("512 segments of 4 Gi words", False, struct.pack("<I", 511) + b"\xff" * 2048),
            ("an empty frame", False, struct.pack("<II", 0, 0)),
            ("an oversize frame before the handshake", False, half_of((64 << 10) + 8)),
            ("an oversize frame after the handshake", True, half_of(4 * MIB + 8)),
            ("deep nesting", True, call(9, wire.imported(1), CLIENT, wire.PROPOSE, Struct(u64(0), [deep]))),
            ("an unknown kind of answer", True, wire.answer(4711)),
            ("a release of what nobody has", True, wire.release(4711, 1 << 31))]
    rows += [(f"a wild root {word:x}", False, words(word)) for word in wild]
    rows += [(f"wild parameters {word:x}", True, call(9, wire.imported(1), CLIENT, wire.PROPOSE, Struct(u64(0), [Raw(word)])))
             for word in wild]
    rows += [("a truncated frame", True, call(9, wire.imported(1), CLIENT, wire.PING, Struct(u64(0)))[:20])]
    for name, greeted, data in rows:
        with client(at) if greeted else Line(at) as line:
            line.send(data)
            if name == "a truncated frame":
                line.socket.shutdown(socket.SHUT_WR)
            # Parameters that make no sense are an answer's exception, and no harm.
            try:
                came = line.read()
                if came.is_answer and came.error:
                    continue
            except (Closed, TimeoutError):
                pass
            if until(lambda: is_closed(line.socket), 7) is None:
                left.append(name)
    chance = random.Random(2)
    flips = 50 if QUICK else 200
    for _ in range(flips):
        # Frames of ours, with some bits turned over: whatever comes of it, the peer goes on.
        with client(at) as line:
            data = bytearray(call(9, line.client, CLIENT, wire.PROPOSE, propose([command(kv_set(b"a", b"b"))])))
            for _ in range(chance.randrange(1, 12)):
                data[chance.randrange(8, len(data))] ^= 1 << chance.randrange(8)
            line.send(bytes(data))
    return not left, f"{len(rows)} kinds, {flips} with bits turned over; not closed: {left}"


def limit_named(at):
    """Whoever sends too long a frame is told so, or it would try again for ever."""
    told = []
    for line, size in ((Line(at), (64 << 10) + 8), (client(at), 4 * MIB + 8)):
        with line:
            line.send(half_of(size))
            try:
                told.append(line.read().error or "")
            except Closed as closed:
                told.append(f"closed: {closed}")
    return all("limit" in text for text in told), f"told: {told}"


def chain_of_promises(at, length):
    """Each promise turns out to be the next one: whoever drops the first drops all, one within the other."""
    with client(at) as line:
        line.send(call(9, line.admin, ADMIN, wire.WATCH, Struct(b"", [Cap(0)]), caps=[descriptor(SENDER_PROMISE, 100)]))
        try:
            line.wait(9)
            line.send(*[resolve(100 + step, descriptor(SENDER_PROMISE, 101 + step)) for step in range(length)])
            time.sleep(0.5)
        except Closed:
            pass
    time.sleep(1)
    return True, f"{length} promises"


def promise_of_itself(at, count):
    """A promise that turns out to be itself is never dropped, and neither is what belongs to its connection."""
    for _ in range(count):
        with client(at) as line:
            asked = call(9, line.client, CLIENT, wire.QUERY, query(kv_get(b"honest")))
            # Waits for the answer before it, and keeps what came with it until then.
            behind = call(10, promised(9, 0), CLIENT, wire.PING, Struct(u64(0)), caps=[descriptor(SENDER_PROMISE, 100)])
            try:
                line.send(asked, behind, resolve(100, descriptor(SENDER_PROMISE, 100)))
                line.wait(9)
            except Closed:
                pass
    return True, f"{count} connections"


def watches(at):
    """At most 4 at a time; those that were dropped are gone."""
    with client(at) as line, client(at) as other:
        kinds = []
        for number in range(10, 20):
            line.send(call(number, line.admin, ADMIN, wire.WATCH, Struct(b"", [Cap(0)]), caps=[descriptor(SENDER_HOSTED, number)]))
            kinds.append(line.wait(number).content.pointer(0).number(0, 2))
        accepted = kinds.count(0)
    begun, end = 0, time.monotonic() + (2 if QUICK else 6)
    with client(at) as line, client(at) as other:
        while time.monotonic() < end:
            number = line.new_question()
            line.send(call(number, line.admin, ADMIN, wire.WATCH, Struct(b"", [Cap(0)]), caps=[descriptor(SENDER_HOSTED, number)]))
            line.wait(number)
            other.ask(other.client, CLIENT, wire.PROPOSE, propose([command(kv_set(b"watched", b"v"))]))
            line.send(finish(number))
            begun += 1
    return accepted == 4, f"{accepted} of 10 accepted, none answers; {begun} begun and dropped"


def long_frames_held(at):
    """Half-sent long frames that go on, a byte now and then, against somebody who has 500 kB to say."""
    frames = [call(9, wire.imported(1), CLIENT, wire.QUERY, query(bytes(size))) for size in [4_190_000] * 8 + [300_000] * 3]
    lines = []
    for data in frames:
        line = client(at)
        line.send(data[:-200])
        lines.append((line, data))
    pid = os.fork()
    if pid == 0:
        for step in range(199):
            for line, data in lines:
                try:
                    line.socket.send(data[len(data) - 200 + step:][:1])
                except OSError:
                    pass
            time.sleep(0.2)
        os._exit(0)
    time.sleep(0.5)
    told = []
    for _ in range(1 if QUICK else 3):
        began = time.monotonic()
        try:
            with client(at) as line:
                answer = line.ask(line.client, CLIENT, wire.PROPOSE, propose([command(kv_set(b"honest-long", bytes(500_000)))]))
                told.append((outcome(answer.content.pointer(0)[0]), time.monotonic() - began))
        except Closed as closed:
            told.append((f"closed: {closed}", time.monotonic() - began))
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    # A follower says so: it heard what was said.
    return all(what in ("applied", "notLeader") for what, _ in told), "; ".join(f"500 kB: {what} after {took:.1f} s" for what, took in told)


def newcomers(at):
    """Somebody who knocks and knocks, against somebody who wants to come in."""
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            knocking = []
            while True:
                try:
                    knocking.append(socket.create_connection(at, timeout=1))
                except OSError:
                    time.sleep(0.01)
                if len(knocking) > CONNECTIONS:
                    knocking.pop(0).close()
        pids.append(pid)
    os.nice(-15) if os.geteuid() == 0 else None
    took, shut_out, now = [], 0, time.monotonic()
    end, latest = now + (1 if QUICK else 6), now + 30
    # One of twenty may be shut out: of fewer than that nothing can be said.
    while time.monotonic() < (end if len(took) >= 20 else latest):
        began = time.monotonic()
        try:
            with client(at, timeout=6) as line:
                line.ping()
        except (OSError, Closed, AttributeError):
            shut_out += 1
        took.append(time.monotonic() - began)
    for pid in pids:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    took.sort()
    return shut_out * 20 <= len(took), f"{shut_out} of {len(took)} newcomers shut out, p99 {took[len(took) * 99 // 100] * 1000:.0f} ms"


def honest_and_long(at):
    """Somebody honest who reads a lot, and cancels a lot, is not turned away."""
    with client(at) as line:
        line.ask(line.client, CLIENT, wire.PROPOSE, propose([command(kv_set(b"long", bytes(MIB)))]))
        for _ in range(100):
            line.ask(line.client, CLIENT, wire.QUERY, query(kv_get(b"long"), local=True))
        for _ in range(200):
            numbers = [line.new_question() for _ in range(100)]
            line.send(*[call(number, line.client, CLIENT, wire.PING, Struct(u64(0))) for number in numbers])
            for number in numbers:
                line.wait(number)
        for _ in range(2_000):
            number = line.new_question()
            line.send(call(number, line.client, CLIENT, wire.QUERY, query(kv_get(b"honest"))), finish(number))
        line.ping()
    return True, "100 answers of 1 MiB, 20,000 pings, 2,000 cancelled queries on one connection"


def busy(target):
    """Whoever asks too much."""
    with client(target.leader.at) as line:
        line.ask(line.client, CLIENT, wire.PROPOSE, propose([command(kv_set(b"long", bytes(MIB)))]))
    target.pouring("pings, no answer read", pings)
    target.pouring("answers of 1 MiB, none read", long_answers)
    if not QUICK:
        target.pouring("pings, answers read", pings, reads=True)
        target.pouring("queries, answers read, never finished", queries, reads=True)
        target.pouring("proposals, no answer read", proposals)
        # Most of them are `Busy`; what is not is in the log and in the machine for a while.
        target.pouring("proposals of 1 MiB, 50 connections", long_proposals, memory=768, count=50, reads=True, latency=False)
        target.pouring("questions of 1 MiB, to this peer alone", long_questions, reads=True)
        target.pouring("100,000 bootstraps", bootstraps, count=4, reads=True)
        target.pouring("bootstraps before the handshake, none read", bootstraps, memory=OVER_IDLE, greeted=False)
        target.pouring("10,000 handshakes on one connection", handshakes, count=1, reads=True)
        target.pouring("100,000 sessions", sessions, count=20, reads=True)
        target.pouring("messages that nobody implements", joins)
    target.pouring("messages that nobody implements, before the handshake", joins, memory=OVER_IDLE, greeted=False)
    target.pouring("500,000 capabilities in a frame", table_of_caps, count=2, memory=64)
    target.doing("connections opened and closed", open_and_close_all, target.peer.at, 1000)


def open_and_close_all(at, count):
    open_and_close(at, count)
    return True, f"{count} of them"


def sly(target):
    """Whoever knows RPC better than it knows itself."""
    at = target.peer.at
    target.doing("garbage", garbage, at, seconds=120)
    target.doing("a frame over the limit is told so", limit_named, at)
    before = target.cluster.status(target.peer)["connections"]
    target.doing("promises that turn out to be themselves", promise_of_itself, at, 30)
    gone = until(lambda: target.cluster.status(target.peer)["connections"] <= before, 5, 0.3)
    after = target.cluster.status(target.peer)["connections"]
    say(gone is not None, "  and their connections are gone", f"connections {before} -> {after}")
    target.doing("whoever knocks and does not come in", newcomers, at, latency=False)
    target.doing("watchers that never answer", watches, at)
    target.doing("long frames that go on and on", long_frames_held, at)
    target.doing("an honest client of much", honest_and_long, at)


def fatal(target):
    """What ended the whole process once."""
    target.doing("promises that turn out to be others", chain_of_promises, target.peer.at, 50_000)


# Those who say that they are peers.

def strangers(cluster, target):
    """Hellos of peers that are none: refused, each with its reason, and nothing moves."""
    at, me = target.at, target.number
    other = next(peer.number for peer in cluster.peers if peer is not target)
    with client(at) as line:
        first, name = line.first_membership(), line.cluster()
    before = cluster.status(target)
    log_before = len(target.said())
    made_up = 0x1234567890
    rows = [("an unknown id", (name, wire.introduction(77, first, made_up), me), "stranger"),
            ("its own id", (name, wire.introduction(me, first, made_up), me), "sameId"),
            ("another member's, a made-up disk", (name, wire.introduction(other, first, made_up), me), "incarnation"),
            ("another first membership", (name, wire.introduction(other, first ^ 1, made_up), me), "firstMembership"),
            ("protocol 2", (name, wire.introduction(other, first, made_up), me, 2), "protocol"),
            ("to another peer", (name, wire.introduction(other, first, made_up), other), "notMe"),
            ("another cluster", ("another", wire.introduction(other, first, made_up), me), "cluster"),
            ("other limits", (name, wire.introduction(other, first, made_up, (1, 1)), me), "sessionLimits")]
    known = 0
    for what, hello, wanted in rows:
        with Line(at) as line:
            kind, said = line.greet(wire.peer_hello(*hello))
            say(kind == wanted, f"hello of a peer: {what}", f"{kind}: {said[:70]}..")
            if kind == "incarnation" and line.refusal.pointer(1):
                incarnation = line.refusal.pointer(1)
                known = incarnation.number(0) << 64 | incarnation.number(8)
    after = cluster.status(target)
    same = all(before[name] == after[name] for name in ("term", "role", "leader"))
    told = target.said()[log_before:]
    say(same and "TurnedAway" in told, "  nothing moves, and the log tells",
        f"term {before['term']} -> {after['term']}, {told.count('TurnedAway')} lines")
    if known:
        with Line(at) as line:
            refused = line.greet(wire.peer_hello(name, wire.introduction(other, first, known), me))
            say(refused is not None, "  a refusal tells no stranger how to be let in",
                "the refusal names the disk that is known, and with it the stranger was let in" if refused is None else str(refused))
    forged = "x\nNov 21 11:28:45.319 INFO Elected, term: 99, forged\x1b[31m"
    log_before = len(target.said())
    with Line(at) as line:
        line.greet(wire.peer_hello(forged, wire.introduction(other, first, made_up), me))
        line.send(*[connect(100 + number, wire.peer_hello("y" * 60_000, wire.introduction(other, first, 1), me)) for number in range(50)])
        for number in range(50):
            line.wait(100 + number)
    time.sleep(0.3)
    told = target.said()[log_before:]
    say("\nNov 21 11:28:45.319" not in told and "\x1b" not in told, "  what a stranger says can't forge lines of the log",
        "a line of its own is in it" if "\nNov 21 11:28:45.319" in told else "")
    say(len(told) <= 100_000, "  nor fill it", f"{len(told)} bytes for 51 hellos")


def two_hellos(cluster, target):
    """A client and a peer on one connection: neither may be counted for ever."""
    other = next(peer for peer in cluster.peers if peer is not target)
    with client(target.at) as line:
        first, name = line.first_membership(), line.cluster()
    before = cluster.status(target)["connections"]
    with Line(target.at) as line:
        line.greet(wire.peer_hello(name, wire.introduction(other.number, first, 1), target.number))
        incarnation = line.refusal.pointer(1)
        if not incarnation:
            return say(True, "two hellos at once", "no disk is told, and without one nobody is a peer")
        known = incarnation.number(0) << 64 | incarnation.number(8)
    rounds = 50
    for _ in range(rounds):
        with Line(target.at) as line:
            line.send(wire.bootstrap(0), connect(1, wire.peer_hello(name, wire.introduction(other.number, first, known), target.number)),
                      connect(2, wire.client_hello()))
            waiting = {1, 2}
            try:
                while waiting:
                    came = line.read()
                    waiting -= {came.question} if came.is_answer else set()
            except Closed:
                pass
    time.sleep(0.5)
    after = cluster.status(target)["connections"]
    say(after <= before + 2, "two hellos at once", f"{rounds} of them: connections {before} -> {after}")


def full_of_descriptors(program, folder):
    """As many clients as a process may have files, by the limit that most shells give: it still writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    # With the defaults: idle clients have to stay for as long as this takes.
    cluster = Cluster(program, folder)
    with cluster:
        try:
            cluster.start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)) if hard != -1 else 8192, hard))
        leader, lines, turned_away = cluster.leader(), [], 0
        with client(leader.at) as line:
            for _ in range(1020):
                try:
                    lines.append(client(leader.at, timeout=1))
                except (OSError, Closed):
                    turned_away += 1
                    if turned_away > 5:
                        break
            answers = []
            try:
                # More than fits in a segment of the log: another file has to be made.
                for number in range(80):
                    asked = line.ask(line.client, CLIENT, wire.PROPOSE, propose([command(kv_set(b"f%d" % (number % 8), bytes(MIB)))]))
                    answers.append(outcome(asked.content.pointer(0)[0]))
                    if answers[-1] != "applied":
                        break
            except (OSError, Closed) as error:
                answers.append(repr(error))
        for line in lines:
            line.close()
        time.sleep(0.5)
        up = leader.is_up()
        why = f"; {answers[-1]}" if up else "; it ended: " + next((line for line in leader.said().splitlines() if "ERRO" in line), "")[:200]
        say(up and answers.count("applied") == 80, "1,020 clients and 1,024 descriptors",
            f"{len(lines)} let in, {answers.count('applied')} of 80 MiB written{why}")


def first_contact(program, folder):
    """A peer that nobody has met yet, and somebody who says to be it."""
    with Cluster(program, folder, options=OPTIONS) as cluster:
        cluster.start(but=(3,))
        leader = cluster.leader()
        with client(leader.at) as line:
            first, name = line.first_membership(), line.cluster()
        with Line(leader.at) as line:
            refused = line.greet(wire.peer_hello(name, wire.introduction(3, first, 4711), leader.number))
        third = cluster.peers[2].start()
        time.sleep(2)
        # Without TLS nobody can be told from anybody: it is a fact about plaintext, and said here as one.
        kept_out = not third.is_up()
        say(True, "a stranger in a peer's place before it first came",
            f"let in: {refused is None}; the true one {'is kept out for good' if kept_out else 'is welcome'} (plaintext)")


def implausible(program, folder):
    """A member that the others believe, and that says what can't be. Python plays the third."""
    with Cluster(program, folder, options=OPTIONS) as cluster:
        cluster.start(but=(3,))
        leader = cluster.leader()
        follower = next(peer for peer in cluster.peers if peer.is_up() and peer is not leader)
        with client(leader.at) as line:
            for number in range(20):
                line.ask(line.client, CLIENT, wire.PROPOSE, propose([command(kv_set(b"k%d" % number, b"v"))]))
            first, name = line.first_membership(), line.cluster()
        time.sleep(0.5)
        garbage = b"not a snapshot"
        crc = crc32c(garbage)
        for target in (follower,) if QUICK else (follower, leader):
            before = cluster.status(target)
            term, last, commit = before["term"], before["last"], before["commit"]
            top = (1 << 64) - 1
            # What it says, and whether it has to count as a violation.
            rows = [("a vote in term 2^63, which a leader asked for", wire.REQUEST_VOTE, wire.vote(1 << 63, 3, (term, last + 9), 1), True),
                    ("a vote in term 2^63", wire.REQUEST_VOTE, wire.vote(1 << 63, 3, (term, last + 9), 0), False),
                    ("a canvass for term 2^63", wire.PRE_VOTE, wire.vote(1 << 63, 3, (term, last + 9)), False),
                    ("a term ahead by 2^40 + 1", wire.APPEND, wire.append(term + (1 << 40) + 1, 3), True),
                    ("a term ahead by 2^63", wire.APPEND, wire.append(term + (1 << 63), 3, (term, last)), True),
                    ("a second leader", wire.APPEND, wire.append(term, 3, (term, last), commit + 1000), True),
                    ("entries beyond the last index", wire.APPEND, wire.append(term, 3, (term, top), 0, [(term, [b"\0x"])]), False),
                    ("entries out of order", wire.APPEND,
                     wire.append(term, 3, (term, last), 0, [(term, [b"\0x"]), (term - 1, [b"\0y"])]), True),
                    ("entries of a later term than their leader's", wire.APPEND,
                     wire.append(term, 3, (term, last), 0, [(term + 5, [b"\0x"])]), True),
                    ("a batch without entries", wire.APPEND, wire.append(term, 3, (term, last), 0, [(term, [])]), False),
                    ("an old snapshot", wire.INSTALL, wire.install(term, 3, (term, 1), [1, 2, 3], len(garbage), crc, 0, garbage), True),
                    ("a snapshot of a later term", wire.INSTALL,
                     wire.install(term, 3, (term + 7, 1), [1, 2, 3], len(garbage), crc, 0, garbage), True),
                    ("a piece beyond a snapshot's end", wire.INSTALL,
                     wire.install(term, 3, (term, last + 50), [1, 2, 3], 5, crc, top, garbage), False),
                    ("an order to campaign", wire.TIMEOUT_NOW, wire.timeout_now(term, 3), False),
                    ("a whole snapshot, of nobody's leader", wire.INSTALL,
                     wire.install(term, 3, (term, last + 1_000_000), [3], len(garbage), crc, 0, garbage), True),
                    ("in the name of another peer", wire.APPEND, wire.append(term, 1 if target.number != 1 else 2), True)]
            for what, method, said, counts in rows:
                seen = cluster.status(target)
                with Line(target.at, timeout=5) as line:
                    refused = line.greet(wire.peer_hello(name, wire.introduction(3, first, 4711), target.number))
                    if refused:
                        say(False, f"the third peer at {target.number}", str(refused))
                        return
                    question = line.new_question()
                    line.send(call(question, line.raft, RAFT, method, said))
                    closed = False
                    try:
                        line.socket.settimeout(0.5)
                        line.wait(question)
                    except TimeoutError:
                        pass
                    except Closed:
                        closed = True
                time.sleep(0.1)
                now = cluster.status(target)
                fields = ("term", "role", "leader", "last", "commit", "snapshot", "up")
                moved = ["gone"] if now is None else [name for name in fields if seen[name] != now[name]]
                counted = 0 if now is None else now["violations"] - seen["violations"]
                at = "leader" if target is leader else "follower"
                figures = f"violations +{counted}" + (", closed" if closed else "")
                if moved and now:
                    figures += ", moved: " + ", ".join(f"{name} {seen[name]} -> {now[name]}" for name in moved)
                say(not moved and (not counts or counted > 0), f"{at}: {what}", figures)
                if now is None:
                    return
        lines = []
        for _ in range(200):
            line = Line(leader.at)
            if line.greet(wire.peer_hello(name, wire.introduction(3, first, 4711), leader.number)) is None:
                lines.append(line)
        time.sleep(0.5)
        left = sum(not is_closed(line.socket) for line in lines)
        say(left <= 16, "one peer's connections are few", f"{left} of 200 are open")
        for line in lines:
            line.close()
        # What was refused must not come back from the disk either.
        for peer in (follower, leader):
            peer.stop()
            peer.start()
        now = cluster.leader(10)
        status = [cluster.status(peer) for peer in (follower, leader)]
        said = [(told and (told["applied"], told["snapshot"])) for told in status]
        up = follower.is_up() and leader.is_up() and now is not None
        said_why = [line for peer in (follower, leader) for line in peer.said().splitlines() if "ERRO" in line]
        why = "" if up else f"; {said_why[-1:]}"[:300]
        say(up and all(told and told["applied"] < 10_000 for told in status), "both come back as they were",
            f"applied and snapshot {said}{why}")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


# TLS.

def openssl(*arguments, folder):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_certificate(folder, name, ca, names, usage, days):
    """A certificate that our own tool would not make."""
    with open(os.path.join(folder, f"{name}.ext"), "w") as file:
        file.write(f"subjectAltName={','.join('DNS:' + name for name in names)}\nextendedKeyUsage={usage}\n"
                   "basicConstraints=CA:FALSE\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr", folder=folder)
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
            "-extfile", f"{name}.ext", "-out", f"{name}.pem", *days, folder=folder)


def tls(program, folder):
    certs = os.path.join(folder, "certs")
    os.makedirs(folder)
    subprocess.run([program, "certs", certs], check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=foreign",
            "-days", "9", "-keyout", "foreign-ca.key", "-out", "foreign-ca.pem", folder=certs)
    make_certificate(certs, "foreign", "foreign-ca", ["client", "admin", "peer", "peer-2"], "clientAuth,serverAuth", ["-days", "9"])
    expired = ["-days", "-1"]
    make_certificate(certs, "expired", "ca", ["client", "admin", "peer", "peer-2"], "clientAuth,serverAuth", expired)
    make_certificate(certs, "client-as-peer", "ca", ["client", "peer", "peer-2"], "clientAuth", ["-days", "9"])
    make_certificate(certs, "nobody", "ca", ["somebody"], "clientAuth", ["-days", "9"])
    path = lambda name: os.path.join(certs, name)

    def wrap(bearer):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(path("ca.pem"))
        context.set_alpn_protocols(["raft-actors/1"])
        if bearer:
            context.load_cert_chain(path(f"{bearer}.pem"), path(f"{bearer}.key"))
        return lambda sock: context.wrap_socket(sock)

    options = lambda number: ["--tls-ca", path("ca.pem"), "--tls-cert", path(f"peer-{number}.pem"), "--tls-key",
                              path(f"peer-{number}.key"), *OPTIONS(number)]
    cluster = Cluster(program, folder, options=options)
    cluster.credentials = ["--tls-ca", path("ca.pem"), "--tls-cert", path("admin.pem"), "--tls-key", path("admin.key")]
    with cluster:
        cluster.start()
        leader = cluster.leader()
        before = cluster.status(leader)
        with Line(leader.at, wrap=wrap("client")) as line:
            line.greet(wire.client_hello())
            first, name = line.first_membership(), line.cluster()
            say(line.admin is None and line.raft is None and line.client is not None, "TLS: a client gets no Admin and no Raft", "")
            line.ping()
        with Line(leader.at, wrap=wrap("admin")) as line:
            line.greet(wire.client_hello())
            works = line.admin is not None and line.ask(line.admin, ADMIN, wire.STATUS, Struct(u64(0))).error is None
            say(works and line.raft is None, "TLS: an admin gets Admin, and no Raft", "")

        def ends(what, bearer, hello):
            """It is closed within 5 s, and nothing was answered."""
            began, served = time.monotonic(), False
            try:
                with Line(leader.at, timeout=8, wrap=wrap(bearer) if bearer != "plaintext" else None) as line:
                    line.send(wire.bootstrap(0), connect(1, hello))
                    line.wait(1)
                    served = True
            except TimeoutError:
                say(False, f"TLS: {what}", "not closed within 8 s")
                return
            except (Closed, OSError):
                pass
            took = time.monotonic() - began
            say(not served and took <= 5, f"TLS: {what}", f"{'served' if served else '0 calls served'}, closed after {took:.2f} s")

        ends("no certificate", None, wire.client_hello())
        ends("a foreign authority", "foreign", wire.client_hello())
        ends("an expired certificate", "expired", wire.client_hello())
        ends("plaintext", "plaintext", wire.client_hello())

        def refused(what, bearer, hello, wanted):
            with Line(leader.at, wrap=wrap(bearer)) as line:
                told = line.greet(hello)
                say(told is not None and told[0] == wanted, f"TLS: {what}", f"{told and told[0]}")

        peer = lambda number: wire.peer_hello(name, wire.introduction(number, first, 4711), leader.number)
        other, third = [number for number in (1, 2, 3) if number != leader.number]
        refused("an application says it is a peer", "client", peer(other), "certificate")
        refused("an operator says it is a peer", "admin", peer(other), "certificate")
        refused("a peer's names, but for clients only", "client-as-peer", peer(2 if leader.number != 2 else other), "certificate")
        refused("a peer says it is another", f"peer-{other}", peer(third), "certificate")
        refused("a certificate of nobody", "nobody", wire.client_hello(), "certificate")
        with Line(leader.at, wrap=wrap(f"peer-{other}")) as line:
            told = line.greet(peer(other))
            say(told is not None and told[0] == "incarnation", "TLS: a peer's certificate, and another disk", f"{told and told[0]}")
        after = cluster.status(leader)
        say(before["term"] == after["term"], "TLS: nothing moved", f"term {before['term']} -> {after['term']}")
        mute = Attack(hold, leader.at, 50, False, b"")
        fine, result = mute.result(PATIENCE + 25)
        say(fine and result[1] == 0 and result[2] <= PATIENCE, "TLS: mute", f"{result}")


def OPTIONS(number):
    return ["--config", CONFIG] if SETTINGS else []


CONFIG = ""


def storming(program, folder):
    """What a peer bears, whether it leads or not."""
    began_with = 0
    for role in ("leader",) if QUICK else ("leader", "follower"):
        # Each kind with a cluster of its own, if there is time: a peer that fell takes no other check with it.
        for kinds in ((quiet, busy), (sly,), (fatal,)) if QUICK else ((quiet,), (busy,), (sly,), (fatal,)):
            began_with += 1
            with Cluster(program, os.path.join(folder, f"storm-{began_with}"), options=OPTIONS) as cluster:
                cluster.start()
                target = Target(cluster, role == "leader")
                p99, rounds, lost = target.before
                print(f"-- the {role}, which holds {target.rss:.0f} MiB; an honest client's p99 is {p99:.1f} ms", flush=True)
                try:
                    for kind in kinds:
                        kind(target)
                except Fallen:
                    pass
                finally:
                    target.honest.end()
                if target.peer.is_up():
                    print(f"-- in the end it holds {target.peer.rss():.0f} MiB", flush=True)
                if sly in kinds and target.peer.is_up():
                    strangers(cluster, target.peer)
                    two_hellos(cluster, target.peer)


def main():
    global CONFIG
    # However it ends, the peers end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    program, folder = sys.argv[1:3]
    with_tls = sys.argv[3] if len(sys.argv) > 3 else ""
    os.chdir(folder)
    if SETTINGS:
        CONFIG = os.path.join(folder, "settings.toml")
        with open(CONFIG, "w") as file:
            file.write(SETTINGS)
    only = os.environ.get("ONLY", "storm,descriptors,contact,implausible,tls").split(",")
    parts = {"storm": storming, "descriptors": full_of_descriptors, "contact": first_contact, "implausible": implausible}
    if with_tls and shutil.which("openssl"):
        parts["tls"] = tls
    elif "tls" in only:
        print("-- tls: SKIPPED: PEER_TLS names no program that is built with `--features tls`, or there is no openssl")

    def run(name):
        sys.stdout.write(f"-- {name}\n")
        sys.stdout.flush()
        parts[name](with_tls if name == "tls" else program, os.path.join(folder, name))

    chosen = [name for name in parts if name in only]
    if QUICK:
        # Nothing but the storm is judged by how long it takes: the rest can be done at once.
        aside = [context.Process(target=lambda name=name: (run(name), sys.exit(len(failed)))) for name in chosen if name != "storm"]
        sys.stdout.flush()
        for process in aside:
            process.start()
        for process in aside:
            process.join()
        failed.extend(["aside"] * sum(abs(process.exitcode) for process in aside))
        chosen = [name for name in chosen if name == "storm"]
    for name in chosen:
        run(name)
    print()
    if failed:
        sys.exit(f"{len(failed)} failed")
    print("whoever means harm does little")


if __name__ == "__main__":
    main()
