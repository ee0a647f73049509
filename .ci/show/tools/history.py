#!/usr/bin/env python3
"""What clients saw of a key-value cluster under faults, and whether one store could have answered it all.

    history.py --peer FILE --seconds 20 --dir DIR       runs three peers, clients, faults; judges what they saw
    history.py --check DIR/history.jsonl                judges it again
    history.py --self-test                              judges the judge

Clients (some over Cap'n Proto, some of these in sessions, some that call the peer program for each operation) do
what they like to a few keys, and write down when they asked, when they heard, and what. Meanwhile peers are
killed, paused, cut off, and their messages lost, delayed, doubled and reordered. Then for each key an order is
searched in which a single store gives all these answers, and in which nothing comes before what had ended when it
began (linearizability: Herlihy and Wing; the search is Wing and Gong's with Lowe's memory). What is not known to
have been done may have its place anywhere after it began, or none.

Exit code: 0 if there is such an order; 1 if not, or if the run shows nothing; the history stays in DIR.
"""

import argparse
import asyncio
import collections
import itertools
import json
import os
import pathlib
import random
import signal
import socket
import sys
import time

# How long a nemesis waits for a peer to take an order, in seconds: who is paused takes none.
PATIENCE = 0.7
FOREVER = float("inf")

# -- The judge


def step(state, kind, args):
    """What the store answers, and what it has then. A value is a text; None is none."""
    if kind == "get":
        return state, state
    if kind == "set":
        return state, args[0]
    if kind == "delete":
        return state, None
    if kind == "cas":
        return (True, args[1]) if state == args[0] else ([state], state)
    if kind == "append":
        value = (state or "") + args[0]
        return len(value), value
    raise ValueError(kind)


class Undecided(Exception):
    """The search would take too long."""


def search(operations, limit=2_000_000):
    """None if there is an order; else the operations at which all orders end.

    An operation is (called, answered, kind, args, answer); one that may never have been done was answered at
    FOREVER. The search places one operation after the other, each time one that began before any that is still
    to be placed had ended. What is remembered is which are placed, and what the store has then: who comes there
    a second time fails a second time.

    Most of those that may never have been done left no trace: what they wrote is in no answer, and no swap expects
    it. After one of them no answer that shows the value fits any more: only an append may come, and tells how long
    the value was. So what makes it longer than that is not tried, nor what overwrites it at once (it could have had
    its place without it), nor another order of several of them, nor one of them for another of the same length.
    """
    known = sorted((one for one in operations if one[1] < FOREVER), key=lambda one: one[0])
    # A question without an answer says nothing.
    open_ = sorted((one for one in operations if one[1] == FOREVER and one[2] != "get"), key=lambda one: one[0])
    shown = json.dumps([one[4] for one in known] + [one[3][0] for one in operations if one[2] == "cas"])
    trace = [one[2] == "delete" or one[3][-1] is None or one[3][-1] in shown for one in open_]
    open_ = [one for one, seen in zip(open_, trace) if seen] + [one for one, seen in zip(open_, trace) if not seen]
    traced = sum(trace)

    def alike(at):
        _, _, kind, args, _ = open_[at]
        if kind == "delete":
            return kind
        return at if at < traced else (kind, len(args[-1]), *args[:-1])

    classes = [alike(at) for at in range(len(open_))]

    def candidates(low, placed, gone, last, state):
        """Indexes of those that may come next. The likely ones come first: the open ones are behind the others."""
        ends, at, found = FOREVER, low, []
        while at < len(known) and known[at][0] <= ends:
            if not placed >> (at - low) & 1:
                found.append(at)
                ends = min(ends, known[at][1])
            at += 1
        found = [at for at in found if known[at][0] <= ends]
        found.sort(key=lambda at: known[at][1])
        appends = [known[at] for at in found if known[at][2] == "append" and isinstance(known[at][4], int)]
        longest = max((one[4] - len(one[3][0]) for one in appends), default=-1)
        tried = set()
        for at, (called, _, kind, args, _) in enumerate(open_):
            if called > ends or gone >> at & 1 or classes[at] in tried:
                continue
            tried.add(classes[at])
            if last is not None and (kind != "append" or traced <= at < last):
                continue
            if last is not None or at >= traced:
                if len(args[-1]) + (len(state or "") if kind == "append" else 0) > longest:
                    continue
            found.append(len(known) + at)
        return iter(found)

    seen, furthest = set(), (-1, 0)
    # Where the known ones are not all placed any more; which beyond it are; which open ones are; which one without
    # a trace was placed last, if no known one came after it; the value.
    path = [((0, 0, 0, None, None), candidates(0, 0, 0, None, None))]
    while path:
        (low, placed, gone, last, state), choices = path[-1]
        if low == len(known):
            return None
        for choice in choices:
            if choice < len(known):
                _, _, kind, args, expected = known[choice]
                answer, value = step(state, kind, args)
                if answer != expected:
                    continue
                first, marks = low, placed | 1 << (choice - low)
                while marks & 1:
                    first, marks = first + 1, marks >> 1
                node = (first, marks, gone, None, value)
            else:
                at = choice - len(known)
                _, _, kind, args, _ = open_[at]
                _, value = step(state, kind, args)
                if value == state:
                    continue
                # Only appends have no order among them.
                mark = last if at < traced else at if kind == "append" else -1
                node = (low, placed, gone | 1 << at, mark, value)
            if node in seen:
                continue
            if len(seen) >= limit:
                raise Undecided
            seen.add(node)
            furthest = max(furthest, (node[0], bin(node[1]).count("1")))
            path.append((node, candidates(*node)))
            break
        else:
            path.pop()
    return known[max(furthest[0] - 3, 0) : furthest[0] + 6]


def self_test():
    def history(*rows):
        return [(called, answered, kind, list(args), answer) for called, answered, kind, args, answer in rows]

    good = {
        "one after the other": [(0, 1, "set", ["a"], None), (2, 3, "get", [], "a"), (4, 5, "append", ["b"], 2)],
        "two at once": [(0, 9, "set", ["a"], "b"), (0, 9, "set", ["b"], None), (10, 11, "get", [], "a")],
        "unknown, done later": [(0, FOREVER, "set", ["a"], None), (1, 2, "get", [], None), (3, 4, "get", [], "a")],
        "unknown, never done": [(0, FOREVER, "append", ["a"], None), (1, 2, "append", ["b"], 1), (3, 4, "get", [], "b")],
        "unknown, seen by its length only": [(0, FOREVER, "set", ["c"], None), (1, 2, "append", ["a"], 2), (3, FOREVER, "set", ["b"], None), (4, 5, "append", ["d"], 2), (6, 7, "get", [], "bd")],
        "unknown, seen by a length": [(0, FOREVER, "append", ["a"], None), (1, 2, "append", ["b"], 2)],
        "a swap that failed": [(0, 1, "cas", ["a", "b"], [None]), (2, 3, "cas", [None, "b"], True), (4, 5, "get", [], "b")],
    }
    bad = {
        "a stale read": [(0, 1, "set", ["a"], None), (2, 3, "set", ["b"], "a"), (4, 5, "get", [], "a")],
        "a read that goes back": [(0, 9, "set", ["a"], None), (1, 2, "get", [], "a"), (3, 4, "get", [], None)],
        "a read of what comes": [(0, 1, "get", [], "a"), (2, 3, "set", ["a"], None)],
        "a lost set": [(0, 1, "set", ["a"], None), (2, 3, "get", [], None)],
        "a lost append": [(0, 1, "append", ["a"], 1), (2, 3, "append", ["b"], 1), (4, 5, "get", [], "b")],
        "a doubled append": [(0, 1, "append", ["a"], 1), (2, 3, "get", [], "aa")],
        "a doubled append, unknown": [(0, FOREVER, "append", ["a"], None), (2, 3, "get", [], "aa")],
        "a doubled append, by its length": [(0, FOREVER, "append", ["a"], None), (1, 2, "append", ["b"], 3)],
        "a set that comes back": [(0, FOREVER, "set", ["a"], None), (1, 2, "get", [], "a"), (3, 4, "set", ["b"], "a"), (5, 6, "get", [], "a")],
        "a delete that did not happen": [(0, 1, "set", ["a"], None), (2, 3, "delete", [], "a"), (4, 5, "get", [], "a")],
        "two that swapped the same": [(0, 9, "cas", [None, "a"], True), (0, 9, "cas", [None, "b"], True)],
        "appends in two orders": [(0, 9, "append", ["a"], 1), (0, 9, "append", ["b"], 2), (10, 11, "get", [], "ba")],
    }
    wrong = [f"rejects {name}" for name, rows in good.items() if search(history(*rows)) is not None]
    wrong += [f"accepts {name}" for name, rows in bad.items() if search(history(*rows)) is None]

    # Small histories, right and wrong ones, against whoever tries all orders.
    chance, verdicts = random.Random(1), collections.Counter()
    for case in range(3000):
        rows, state = [], None
        for n in range(chance.randrange(2, 6)):
            kind = chance.choice(["get", "set", "delete", "cas", "append", "append", "append"])
            value = lambda: chance.choice([None, "a", "b"])
            letter = "ababa"[n] if case % 2 else ["a", "bb", "c", "dd", "e"][n]  # or each has its own
            args = {"get": [], "delete": [], "set": [letter], "append": [letter], "cas": [value(), value()]}[kind]
            answer, state = step(state, kind, args)
            if chance.random() < 0.15:
                answer = chance.choice([None, "a", "ab", 1, 2, 3, 4, True, [None], ["a"]])
            middle = 2 * n + 1
            ends = FOREVER if chance.random() < 0.45 else middle + chance.randrange(1, 6)
            rows.append((middle - chance.randrange(1, 6), ends, kind, args, answer))
        rows = history(*rows)
        verdict = search(rows) is None
        verdicts[verdict] += 1
        if verdict != by_trying(rows):
            wrong.append(f"is wrong about {rows}")
    for what in wrong:
        print(f"the judge {what}")
    print(f"self-test: {len(good)} good and {len(bad)} bad histories; {verdicts[True]} and {verdicts[False]} of 3000 by chance")
    return not wrong


def by_trying(rows):
    known = [row for row in rows if row[1] < FOREVER]
    open_ = [row for row in rows if row[1] == FOREVER]
    for count in range(len(open_) + 1):
        for some in itertools.combinations(open_, count):
            for order in itertools.permutations(known + list(some)):
                state, latest, fits = None, -FOREVER, True
                for called, answered, kind, args, expected in order:
                    latest = max(latest, called)
                    answer, state = step(state, kind, args)
                    if answered < latest or (answered < FOREVER and answer != expected):
                        fits = False
                        break
                if fits:
                    return True
    return False


def read(path):
    """The operations of each key."""
    keys = collections.defaultdict(list)
    with open(path) as file:
        for line in file:
            row = json.loads(line)
            answered = FOREVER if row["answered"] is None else row["answered"]
            keys[row["key"]].append((row["called"], answered, row["kind"], row["args"], row["answer"]))
    return keys


def judge(path):
    sound = True
    for key, operations in sorted(read(path).items()):
        began = time.monotonic()
        try:
            met = search(operations)
        except Undecided:
            print(f"key {key}: no verdict: the search takes too long")
            sound = False
            continue
        verdict = "linearizable" if met is None else "NOT LINEARIZABLE"
        print(f"key {key}: {len(operations)} operations, {verdict} ({time.monotonic() - began:.1f} s)")
        if met is not None:
            sound = False
            print("  every order ends about here:")
            for called, answered, kind, args, answer in met:
                print(f"  {called / 1e6:.3f}..{answered / 1e6:.3f} ms {kind} {args} answered {answer!r}")
    return sound


# -- The key-value machine's encoding


def varint(n):
    return bytes([n]) if n < 128 else bytes([n % 128 + 128]) + varint(n // 128)


def lump(text):
    return varint(len(text)) + text.encode()


def maybe(text):
    return b"\0" if text is None else b"\1" + lump(text)


def encode(kind, key, args):
    code = {"set": 0, "delete": 1, "cas": 2, "append": 3, "get": 0}[kind]
    rest = b"".join(map(maybe, args)) if kind == "cas" else b"".join(map(lump, args))
    return bytes([code]) + lump(key) + rest


def decode(answer):
    def number(at):
        value = shift = 0
        while True:
            value, shift, at = value | (answer[at] & 127) << shift, shift + 7, at + 1
            if answer[at - 1] < 128:
                return value, at

    def text(at):
        if answer[at] == 0:
            return None
        length, at = number(at + 1)
        assert at + length == len(answer)
        return answer[at:].decode()

    return {0: lambda: text(1), 1: lambda: True, 2: lambda: [text(1)], 3: lambda: number(1)[0]}[answer[0]]()


# -- Clients


class NotDone(Exception):
    """Certainly not."""


class History:
    def __init__(self, path):
        self.file = open(path, "w")
        self.counts = collections.Counter()

    async def operation(self, who, key, kind, args, do):
        """Does it, and writes down what came of it."""
        row = {"who": who, "key": key, "kind": kind, "args": args, "called": time.monotonic_ns()}
        try:
            row["answer"] = await do()
            row["answered"] = time.monotonic_ns()
            self.counts["acknowledged"] += 1
            self.counts[f"of {who.rstrip('0123456789')}"] += 1
        except NotDone:
            self.counts["not done"] += 1
            return False
        except Exception as error:  # whatever it is, nobody knows whether it was done
            self.counts[f"why {type(error).__name__}"] += 1
            self.counts["unknown"] += 1
            if kind == "get":
                return False
            row["answer"] = row["answered"] = None
        self.file.write(json.dumps(row) + "\n")
        return row["answered"] is not None


class Chance(random.Random):
    """Picks what is done next. Every value is written once only, so that it says who wrote it."""

    def operation(self, who, keys, last):
        self.count = getattr(self, "count", 0) + 1
        fresh = f"{who}.{self.count};"
        kind = self.choices(["get", "set", "append", "cas", "delete"], [30, 14, 36, 16, 4])[0]
        key = self.choice(keys)
        if kind == "cas":
            # Mostly with a value that it saw there.
            return key, kind, [last.get(key), None if self.random() < 0.1 else fresh]
        return key, kind, [fresh] if kind in ("set", "append") else []


def remember(last, key, kind, args, answer):
    if kind == "get":
        last[key] = answer
    elif kind == "set":
        last[key] = args[0]
    elif kind == "cas":
        last[key] = args[1] if answer is True else answer[0]


class Wire:
    """A client over Cap'n Proto: it keeps a connection as long as it is of use, and follows the leader."""

    def __init__(self, run):
        self.run, self.chance, self.line, self.hint = run, run.chance(), None, None

    async def connect(self):
        if self.line is None:
            address = self.hint or self.chance.choice(self.run.addresses)
            self.hint = None
            try:
                self.line = await asyncio.wait_for(self.run.line(address), 1)
            except Exception as error:
                raise NotDone from error

    def leave(self):
        if self.line:
            self.line.close()
        self.line = None

    async def ask(self, call):
        """The answer to call(client). NotDone if it certainly was not."""
        await self.connect()
        try:
            outcome = await asyncio.wait_for(call(self.line.client), 2)
            which = outcome.which()
            if which == "applied":
                return decode(bytes(outcome.applied)) if outcome.applied else None
            if which == "notLeader":
                self.hint = outcome.notLeader.address if outcome.notLeader.address in self.run.addresses else None
        except BaseException:
            self.leave()
            raise
        self.leave()
        if which in ("notLeader", "busy", "lost", "rejected", "tooLarge", "gap", "poisoned", "sessionExpired"):
            self.run.history.counts[f"said {which}"] += 1
            raise NotDone(which)
        raise TimeoutError(which)

    async def get(self, key):
        async def call(client):
            return (await client.query(0, encode("get", key, []), "linearizable", 1000)).outcome

        return await self.ask(call)

    async def do(self, key, kind, args):
        if kind == "get":
            return await self.get(key)
        return await self.propose({"payload": encode(kind, key, args), "plain": None})

    async def propose(self, command):
        async def call(client):
            return (await client.propose(0, [command], 1000)).outcomes[0]

        return await self.ask(call)


class Session(Wire):
    """One that sends each command until it knows the answer: it must have been done once."""

    id = None

    async def do(self, key, kind, args):
        if kind == "get":
            return await self.get(key)
        until = time.monotonic() + 8
        if self.id is None:
            self.id = {"high": self.chance.getrandbits(64), "low": self.chance.getrandbits(64)}
            self.sequence, self.opened = 0, False
        while not self.opened:

            async def call(client):
                return (await client.openSession(0, self.id, 1000)).result.outcome

            try:
                await self.ask(call)
                self.opened = True
            except Exception as error:
                if time.monotonic() > until:
                    raise NotDone from error
                await asyncio.sleep(0.05)
        self.sequence += 1
        within = {"session": self.id, "sequence": self.sequence, "lowestUnanswered": self.sequence}
        command = {"payload": encode(kind, key, args), "inSession": within}
        while True:
            try:
                return await self.propose(command)
            except NotDone as error:
                if str(error) in ("gap", "sessionExpired", "rejected"):
                    # It does what it may, so the session can't say that.
                    self.run.broken.append(f"a session was told `{error}`")
                    raise TimeoutError from error
            except Exception:
                self.run.history.counts["repeated"] += 1
            if time.monotonic() > until:
                self.id = None
                raise TimeoutError
            await asyncio.sleep(0.05)


class Program:
    """One that starts the peer program for each operation."""

    def __init__(self, run):
        self.run, self.chance = run, run.chance()

    async def do(self, key, kind, args):
        words = {
            "cas": lambda: ["cas", key]
            + (["--absent"] if args[0] is None else [args[0]])
            + (["--delete"] if args[1] is None else [args[1]]),
        }.get(kind, lambda: [kind, key, *args])()
        at = ",".join(self.chance.sample(self.run.addresses, len(self.run.addresses)))
        process = await asyncio.create_subprocess_exec(
            self.run.program, *words, "--json", "--deadline-ms", "1500", "--at", at,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, said = await process.communicate()
        try:
            reply = json.loads(out)
        except ValueError as error:
            self.run.broken.append(f"`peer {' '.join(words)} --json` printed {out!r} {said!r}, code {process.returncode}")
            raise TimeoutError from error
        if reply["outcome"] == "applied":
            answer = reply["answer"]
            if kind == "cas":
                return True if answer["swapped"] else [answer["present"]]
            return answer
        if process.returncode == 1:
            raise NotDone(reply["outcome"])
        if process.returncode != 3:
            self.run.broken.append(f"`peer {' '.join(words)} --json`: {reply}, code {process.returncode}")
        raise TimeoutError(reply["outcome"])


# -- The cluster, and what is done to it


class Line:
    def __init__(self, stream, rpc, welcome):
        self.stream, self.rpc, self.client, self.admin = stream, rpc, welcome.client, welcome.admin

    def close(self):
        self.rpc.close()
        self.stream.close()


SETTINGS = """
[raft]
snapshot_entries = 300
trail_entries = 60
"""


class Run:
    def __init__(self, args):
        import capnp

        self.capnp = capnp
        self.wire = capnp.load(str(pathlib.Path(__file__).resolve().parents[3] / "schema" / "messages.capnp"))
        self.args, self.program, self.dir = args, args.peer, pathlib.Path(args.dir)
        self.seed = random.Random(args.seed)
        self.history = History(self.dir / "history.jsonl")
        self.faults, self.broken, self.processes = collections.Counter(), [], {}
        self.addresses = [f"127.0.0.1:{port}" for port in free(3)]
        (self.dir / "settings.toml").write_text(SETTINGS)

    def chance(self):
        return Chance(self.seed.getrandbits(64))

    async def line(self, address):
        host, port = address.split(":")
        stream = await self.capnp.AsyncIoStream.create_connection(host=host, port=int(port))
        rpc = self.capnp.TwoPartyClient(stream)
        try:
            hello = {"protocol": 1, "client": {"name": "history.py"}}
            reply = (await rpc.bootstrap().cast_as(self.wire.Bootstrap).connect(hello)).reply
            if reply.which() == "refused":
                raise NotDone(reply.refused.text)
            return Line(stream, rpc, reply.welcome)
        except BaseException:
            rpc.close()
            stream.close()
            raise

    async def start(self, peer):
        members = ",".join(f"{id_}={address}" for id_, address in enumerate(self.addresses, 1))
        command = [self.program, "serve", "--id", str(peer), "--peers", members, "--data", str(self.dir / f"data-{peer}"),
                   "--config", str(self.dir / "settings.toml"), "--allow-faults"]  # fmt: skip
        with open(self.dir / f"said-{peer}", "ab") as said:
            null = asyncio.subprocess.DEVNULL
            self.processes[peer] = await asyncio.create_subprocess_exec(*command, stdin=null, stdout=said, stderr=said)

    def send(self, peer, what):
        """A signal to a peer that must be alive: none ends by itself."""
        process = self.processes[peer]
        if process.returncode is not None:
            self.broken.append(f"peer {peer} ended by itself, with code {process.returncode}")
        else:
            process.send_signal(what)

    async def order(self, peer, call, seconds=3):
        """Asks a peer's Admin; None if that peer does not answer."""
        line = None
        try:
            line = await asyncio.wait_for(self.line(self.addresses[peer - 1]), seconds)
            return await asyncio.wait_for(call(line.admin), seconds)
        except Exception:
            return None
        finally:
            if line:
                line.close()

    async def leader(self):
        for peer in self.processes:
            reply = await self.order(peer, lambda admin: admin.status(0), 0.5)
            if reply and reply.status.leader.id:
                return reply.status.leader.id
        return 1

    async def kill(self, chance, peers):
        for peer in peers:
            self.send(peer, signal.SIGKILL)
            await self.processes[peer].wait()
        await asyncio.sleep(chance.uniform(0.1, 1.2))
        for peer in peers:
            await self.start(peer)

    async def strike(self, chance, kind):
        """One fault, from its beginning to its end. Whether it took place: whoever is down takes no orders."""
        peer = await self.leader() if chance.random() < 0.6 else chance.choice(list(self.processes))
        other = chance.choice([one for one in self.processes if one != peer])
        long = chance.uniform(0.3, 1.5)
        if kind == "kill":
            await self.kill(chance, [peer])
        elif kind == "kill two":
            await self.kill(chance, [peer, other])
        elif kind == "kill all":
            await self.kill(chance, list(self.processes))
        elif kind == "pause":
            self.send(peer, signal.SIGSTOP)
            await asyncio.sleep(long)
            self.send(peer, signal.SIGCONT)
        elif kind == "cut off":
            if await self.order(peer, lambda admin: admin.isolate(), PATIENCE) is None:
                return False
            await asyncio.sleep(long)
            await self.order(peer, lambda admin: admin.reconnect())
        elif kind == "transfer":
            if await self.order(peer, lambda admin: admin.transfer(0, 0), PATIENCE) is None:
                return False
        elif kind == "snapshot":
            if await self.order(peer, lambda admin: admin.snapshot(0), PATIENCE) is None:
                return False
        else:
            rule = chance.choice([f"cut from={peer} to={other}", "loss 0.3", "delay 5..=60", "duplicate 0.5", "reorder 0.3 5..=40"])
            reply = await self.order(peer, lambda admin: admin.setFault(rule), PATIENCE)
            if reply is None:
                return False
            if reply.result.which() != "done":
                self.broken.append(f"`{rule}`: {reply}")
            kind = rule.split()[0]
            await asyncio.sleep(long)
            await self.order(peer, lambda admin: admin.clearFaults())
        self.faults[kind] += 1
        return True

    async def nemesis(self, kinds, until):
        chance, deck = self.chance(), []
        while time.monotonic() < until:
            if not deck:
                deck = list(kinds)
                chance.shuffle(deck)
            kind = deck.pop()
            if not await self.strike(chance, kind):
                deck.insert(0, kind)
            await asyncio.sleep(chance.uniform(0.1, 0.7))

    async def client(self, who, client, until):
        keys, last = [f"k{n}" for n in range(self.args.keys)], {}
        while time.monotonic() < until:
            key, kind, args = client.chance.operation(who, keys, last)

            async def do():
                answer = await client.do(key, kind, args)
                remember(last, key, kind, args, answer)
                return answer

            acknowledged = await self.history.operation(who, key, kind, args, do)
            # Who fails does not fill the history with it.
            await asyncio.sleep(client.chance.uniform(0, 0.02 if acknowledged else 0.2))

    async def settle(self):
        """All peers are well again, and have applied the same."""
        for peer in self.processes:
            await self.order(peer, lambda admin: admin.clearFaults())
        digests = None
        for _ in range(150):
            replies = [await self.order(peer, lambda admin: admin.status(0)) for peer in self.processes]
            if all(replies) and len({(one.status.leader.id, one.status.last.index, one.status.applied) for one in replies}) == 1:
                digests = set()
                for address in self.addresses:
                    line = await asyncio.wait_for(self.line(address), 2)
                    outcome = (await asyncio.wait_for(line.client.query(0, b"\3", "local", 1000), 2)).outcome
                    digests.add(bytes(outcome.applied))
                    line.close()
                break
            await asyncio.sleep(0.1)
        if digests is None:
            self.broken.append("15 seconds after the last fault the peers are not of one mind")
        elif len(digests) != 1:
            self.broken.append(f"the peers have applied the same entries, and differ: {digests}")
        reader = Wire(self)
        for key in range(self.args.keys):
            for _ in range(50):
                if await self.history.operation("last0", f"k{key}", "get", [], lambda: reader.do(f"k{key}", "get", [])):
                    break
                await asyncio.sleep(0.1)
            else:
                self.broken.append(f"k{key} can't be read after the last fault")
        reader.leave()

    async def go(self):
        try:
            for peer in (1, 2, 3):
                await self.start(peer)
            for _ in range(100):
                reply = await self.order(1, lambda admin: admin.status(0), 1)
                if reply and reply.status.leader.id:
                    break
                await asyncio.sleep(0.1)
            else:
                self.broken.append("no leader within 10 seconds")
                return
            until = time.monotonic() + self.args.seconds
            clients = [(f"wire{n}", Wire(self)) for n in range(self.args.clients)]
            clients += [(f"session{n}", Session(self)) for n in range((self.args.clients + 1) // 2)]
            clients += [(f"program{n}", Program(self)) for n in range((self.args.clients + 1) // 2)]
            processes = ["kill", "pause", "kill", "pause", "kill two", "pause", "kill all"]
            network = ["cut off", "rule", "cut off", "rule", "transfer", "rule", "snapshot"]
            await asyncio.gather(
                *[self.client(who, client, until) for who, client in clients],
                self.nemesis(processes, until),
                self.nemesis(network, until),
            )
            for _, client in clients:
                if isinstance(client, Wire):
                    client.leave()
            await self.settle()
        finally:
            for peer, process in self.processes.items():
                if process.returncode is None:
                    process.kill()
                    await process.wait()
                else:
                    self.broken.append(f"peer {peer} ended by itself, with code {process.returncode}")
            self.history.file.close()

    def report(self):
        elections = 0
        for peer in self.processes:
            said = (self.dir / f"said-{peer}").read_text(errors="replace")
            elections += said.count(" Elected,")
            for word in ("panicked", "CRIT", "Poisoned"):
                if word in said:
                    self.broken.append(f"peer {peer} said `{word}`: see {self.dir}/said-{peer}")
        counts = self.history.counts
        groups = {"of": [], "said": [], "why": []}
        for name, count in sorted(counts.items()):
            head, _, rest = name.partition(" ")
            if head in groups:
                groups[head].append(f"{rest} {count}")
        print(f"acknowledged {counts['acknowledged']}: {', '.join(groups['of'])}; {counts['repeated']} sent again in sessions")
        print(f"unknown {counts['unknown']}: {', '.join(groups['why']) or 'none'}")
        print(f"not done {counts['not done']}; answers to attempts: {', '.join(groups['said']) or 'none'}")
        print(f"faults {sum(self.faults.values())}: {', '.join(f'{kind} {n}' for kind, n in sorted(self.faults.items()))}")
        print(f"elections {elections}")
        kinds = {
            "kills": sum(n for kind, n in self.faults.items() if kind.startswith("kill")),
            "pauses": self.faults["pause"],
            "cuts": self.faults["cut off"],
            "rules": sum(self.faults[kind] for kind in ("cut", "loss", "delay", "duplicate", "reorder")),
        }
        # Half of what a slow machine does.
        least = max(2, int(self.args.seconds / 10))
        little = [f"{n} {kind}, fewer than {least}" for kind, n in kinds.items() if n < least]
        if counts["acknowledged"] < 20 * self.args.seconds:
            little.append(f"{counts['acknowledged']} acknowledged, fewer than {20 * self.args.seconds:.0f}")
        if elections < least:
            little.append(f"{elections} elections, fewer than {least}")
        return little


def free(count):
    """Ports on which nobody listens, and that the kernel gives to no outgoing connection while a peer restarts."""
    held = []
    while len(held) < count:
        one = socket.socket()
        try:
            one.bind(("127.0.0.1", random.randrange(10_000, 32_000)))
            held.append(one)
        except OSError:
            one.close()
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="the peer program")
    parser.add_argument("--dir", help="where the history and the peers' data go")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int, default=6, help="over the wire; half as many in sessions, and as programs")
    parser.add_argument("--keys", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of what is drawn, not of what comes of it")
    parser.add_argument("--check", metavar="FILE", help="judge this history")
    parser.add_argument("--self-test", action="store_true")
    args = parser.parse_args()
    if args.self_test:
        return 0 if self_test() else 1
    if args.check:
        return 0 if judge(args.check) else 1
    if not args.peer or not args.dir:
        parser.error("--peer and --dir are needed")
    print(f"seed {args.seed}, {args.seconds:g} seconds")
    run = Run(args)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asyncio.run(run.capnp.run(run.go()))
    little = run.report()
    sound = judge(run.dir / "history.jsonl")
    for what in run.broken:
        print(f"BROKEN: {what}")
    if not sound or run.broken:
        print(f"the history is {run.dir}/history.jsonl")
        return 1
    if little:
        print(f"no evidence: {'; '.join(little)}: give it more --seconds, or a faster machine")
        return 1
    print("one store could have answered all of it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
