#!/usr/bin/env python3
"""Calls every method that a peer offers to strangers, and checks every result and typed error that can be
provoked from outside. Written from schema/messages.capnp alone: what it expects is what that file says.

    protocol.py --at A,B,C --strict D

A, B and C are the peers of one cluster, started with --allow-faults and the settings of `python`; D is a
cluster of one, without --allow-faults and with tiny limits (`python` has them too). Prints a line for each
check; exit code 1 if one failed.
"""

import argparse
import asyncio
import pathlib
import secrets
import sys
import time
import traceback

import capnp

SCHEMA = pathlib.Path(__file__).resolve().parents[3] / "schema" / "messages.capnp"
wire = capnp.load(str(SCHEMA))

passed, failures = 0, []


def check(what, holds, met=""):
    global passed
    if holds:
        passed += 1
        print(f"  ok      {what}", flush=True)
    else:
        failures.append(what)
        print(f"  FAILED  {what}: met {' '.join(str(met).split())[:400]}", flush=True)


def is_(what, met, expected):
    check(what, met == expected, f"{met!r}, expected {expected!r}")


async def soon(call, seconds=10.0):
    return await asyncio.wait_for(call, seconds)


async def thrown(call):
    """The text of the exception that a call ends with; None if it returns."""
    try:
        await soon(call)
        return None
    except capnp.KjException as error:
        return str(error)


# -- Connections

GUEST = {"protocol": 1, "cluster": "", "client": {"name": "protocol.py"}}


class Line:
    """A connection; `welcome` or `refused` is what `connect` was answered."""

    async def open(self, address, hello=GUEST):
        host, port = address.rsplit(":", 1)
        self.stream = await soon(capnp.AsyncIoStream.create_connection(host=host, port=int(port)))
        self.rpc = capnp.TwoPartyClient(self.stream)
        self.bootstrap = self.rpc.bootstrap().cast_as(wire.Bootstrap)
        reply = (await soon(self.bootstrap.connect(hello))).reply
        self.welcome = reply.welcome if reply.which() == "welcome" else None
        self.refused = reply.refused if reply.which() == "refused" else None
        if self.welcome:
            self.client, self.admin = self.welcome.client, self.welcome.admin
        return self

    def close(self):
        self.rpc.close()
        self.stream.close()


class Lines:
    """All connections of one topic: closed when it ends."""

    def __init__(self):
        self.all = []

    async def __call__(self, address, hello=GUEST):
        line = await Line().open(address, hello)
        self.all.append(line)
        return line

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for line in self.all:
            line.close()


async def leader_of(lines, addresses):
    """Connections to the leader and to the others, as soon as all agree on who it is."""
    for _ in range(200):
        found = [await lines(address) for address in addresses]
        pongs = [(await soon(line.client.ping(0))).pong for line in found]
        ids = {pong.leader.id for pong in pongs}
        if len(ids) == 1 and 0 not in ids:
            (leads,) = ids
            split = {pong.peer == leads: [] for pong in pongs}
            for line, pong in zip(found, pongs):
                line.id = pong.peer
                split.setdefault(pong.peer == leads, []).append(line)
            if any(pong.role == "leader" for pong in pongs):
                return split[True][0], split.get(False, [])
        for line in found:
            lines.all.remove(line)
            line.close()
        await asyncio.sleep(0.1)
    raise RuntimeError("the peers agree on no leader")


# -- The key-value machine


def varint(n):
    return bytes([n]) if n < 128 else bytes([n % 128 + 128]) + varint(n // 128)


def lump(some):
    some = some.encode() if isinstance(some, str) else some
    return varint(len(some)) + some


def maybe(some):
    return b"\0" if some is None else b"\1" + lump(some)


def plain(payload):
    return {"payload": payload, "plain": None}


def placed(payload, session, sequence, lowest=1):
    return {"payload": payload, "inSession": {"session": session, "sequence": sequence, "lowestUnanswered": lowest}}


def put(key, value):
    return b"\0" + lump(key) + lump(value)


def drop(key):
    return b"\1" + lump(key)


def swap(key, expected, new):
    return b"\2" + lump(key) + maybe(expected) + maybe(new)


def append(key, value):
    return b"\3" + lump(key) + lump(value)


def get(key):
    return b"\0" + lump(key)


def told(outcome):
    """An outcome as a pair: which, and what with it."""
    which = outcome.which()
    if which == "applied":
        return which, bytes(outcome.applied)
    if which == "notLeader":
        return which, (outcome.notLeader.id, outcome.notLeader.address)
    return (which, getattr(outcome, which)) if which in ("poisoned", "gap", "tooLarge") else (which, None)


async def propose(line, *commands, ms=5000):
    return [told(one) for one in (await soon(line.client.propose(0, list(commands), ms))).outcomes]


async def query(line, question, consistency="linearizable", ms=5000):
    return told((await soon(line.client.query(0, question, consistency, ms))).outcome)


async def session(line, method, id_, ms=5000):
    result = (await soon(getattr(line.client, method)(0, id_, ms))).result
    return told(result.outcome), result.applied


def done(reply):
    """`done`, or the reason of the failure. A failure has to have a text."""
    if reply.result.which() == "done":
        return "done"
    check(f"`{reply.result.failed.reason}` says why in words", len(reply.result.failed.text) > 10, reply)
    return str(reply.result.failed.reason)


def new_session():
    return {"high": secrets.randbits(64), "low": secrets.randbits(64)}


APPLIED = ("applied", b"")

# -- Topics


async def handshake(at, _strict):
    async with Lines() as lines:
        first = await lines(at[0])
        welcome = first.welcome
        check("a client is welcome without naming the cluster", welcome is not None, first.refused)
        is_("a client is told the members", sorted(member.address for member in welcome.members), sorted(at))
        check("and their ids", sorted(member.id for member in welcome.members) == [1, 2, 3], welcome.members)
        check("and a first membership", welcome.introduction.firstMembership != 0, welcome.introduction)
        check(
            "and no more of the introduction",
            (welcome.introduction.incarnation.high, welcome.introduction.incarnation.low) == (0, 0)
            and welcome.introduction.sessionsMax == 0,
            welcome.introduction,
        )
        limits = welcome.limits.to_dict()
        check("all limits are told", len(limits) == 7 and all(value > 0 for value in limits.values()), limits)
        check("Welcome.raft is null for a client", not welcome._has("raft"))
        check("and to call it fails", await thrown(welcome.raft.timeoutNow(0, {})) is not None)

        named = await lines(at[0], {**GUEST, "cluster": welcome.cluster})
        check("so is one that names it", named.welcome is not None, named.refused)

        again = (await soon(first.bootstrap.connect(GUEST))).reply
        is_("a second connect is refused", again.which() == "refused" and again.refused.which(), "again")
        pong = (await soon(first.client.ping(0))).pong
        check("and what the first gave still works", pong.peer in (1, 2, 3), pong)

        other = (await lines(at[0], {**GUEST, "cluster": "another"})).refused
        is_("another cluster: refused", other and (other.which(), other.cluster), ("cluster", welcome.cluster))
        check("with a sentence", len(other.text) > 20, other.text)
        old = (await lines(at[0], {**GUEST, "protocol": 2})).refused
        is_("another protocol: refused", old and (old.which(), old.protocol), ("protocol", 1))
        zero = (await lines(at[0], {**GUEST, "protocol": 0})).refused
        is_("protocol 0: refused", zero and (zero.which(), zero.protocol), ("protocol", 1))


DISK = 0


async def peers_handshake(at, _strict):
    """A program that says it is peer 2, and learns from each refusal what it has to say."""
    async with Lines() as lines:
        guest = (await lines(at[0])).welcome
        me, them = 2, 1
        address = {member.id: member.address for member in guest.members}[them]
        introduction = {
            "peer": me,
            "firstMembership": guest.introduction.firstMembership,
            "incarnation": {"high": 1, "low": 2},
            "sessionsMax": 4,
            "sessionWindow": 8,
        }

        async def hello(to=them, cluster=guest.cluster, **changes):
            peer = {"introduction": {**introduction, **changes}, "to": to}
            return await lines(address, {"protocol": 1, "cluster": cluster, "peer": peer})

        refused = (await hello(peer=9)).refused
        is_("a peer that is no member: stranger", refused and refused.which(), "stranger")
        refused = (await hello(peer=0)).refused
        is_("peer 0: stranger", refused and refused.which(), "stranger")
        refused = (await hello(peer=them)).refused
        is_("a peer with the other's own id: sameId", refused and refused.which(), "sameId")
        refused = (await hello(cluster="another")).refused
        is_("a peer of another cluster", refused and (refused.which(), refused.cluster), ("cluster", guest.cluster))
        refused = (await hello(cluster="")).refused
        is_("a peer has to name the cluster", refused and refused.which(), "cluster")
        refused = (await hello(to=3)).refused
        is_("a peer that means another one: notMe", refused and (refused.which(), refused.notMe), ("notMe", them))
        refused = (await hello(firstMembership=7)).refused
        is_(
            "another first membership",
            refused and (refused.which(), refused.firstMembership),
            ("firstMembership", guest.introduction.firstMembership),
        )
        refused = (await hello()).refused
        is_("another disk: incarnation", refused and refused.which(), "incarnation")
        # Which one it knows it does not tell: it is on peer 2's own disk.
        known = {"high": DISK >> 64, "low": DISK & (1 << 64) - 1}
        refused = (await hello(incarnation=known, sessionsMax=5)).refused
        limits = refused and refused.which() == "sessionLimits" and refused.sessionLimits.to_dict()
        is_("other limits of sessions", limits, {"sessionsMax": 4, "sessionWindow": 8})

        line = await hello(incarnation=known)
        check("a peer that says it all right is welcome", line.welcome is not None, line.refused)
        welcome = line.welcome
        check("it gets no Client", not welcome._has("client"))
        check("and no Admin", not welcome._has("admin"))
        theirs = welcome.introduction
        check("it is told the other's disk", theirs.incarnation.high or theirs.incarnation.low, theirs)
        is_("and the limits of sessions", (theirs.peer, theirs.sessionsMax, theirs.sessionWindow), (them, 4, 8))

        # What is of a term that is long over is refused, and so nobody is disturbed.
        raft, past = welcome.raft, {"term": 0, "index": 0}
        text = await thrown(raft.preVote(7, {"term": 1, "candidate": me, "last": past}))
        check("Raft.preVote in another group: an exception", text and "group" in text, text)
        now = (await soon((await lines(at[0])).client.ping(0))).pong.term
        vote = (await soon(raft.requestVote(0, {"term": 1, "candidate": me, "last": past, "transfer": False}))).reply
        check("Raft.requestVote of an old term: not granted", not vote.granted and vote.term >= now, vote)
        vote = (await soon(raft.preVote(0, {"term": 1, "candidate": me, "last": past}))).reply
        check("Raft.preVote of an old term: not granted", not vote.granted and vote.term >= now, vote)
        request = {"term": 0, "leader": me, "prev": past, "commit": 0, "round": 1, "batches": []}
        text = await thrown(raft.appendEntries(0, request))
        check("Raft.appendEntries of term 0: an exception, or null", text is None or "term" in text, text)
        request["term"] = 1
        if now > 1:
            reply = (await soon(raft.appendEntries(0, request))).reply
            is_("Raft.appendEntries of an old term: stale", (reply.which(), reply.term >= now), ("stale", True))


async def commands(at, _strict):
    async with Lines() as lines:
        leader, others = await leader_of(lines, at)
        limits = leader.welcome.limits
        key = secrets.token_hex(4)
        is_("set, nothing before", await propose(leader, plain(put(key, "1"))), [("applied", b"\0\0")])
        is_("set, one before", await propose(leader, plain(put(key, "2"))), [("applied", b"\0\1\0011")])
        is_("get", await query(leader, get(key)), ("applied", b"\0\1\0012"))
        is_(
            "a batch, in order",
            await propose(
                leader,
                plain(append(key, "34")),
                plain(swap(key, "2", "x")),
                plain(swap(key, "234", "x")),
                plain(drop(key)),
                plain(drop(key)),
                plain(swap(key, None, "y")),
                plain(swap(key, "y", None)),
            ),
            [
                ("applied", b"\3\3"),
                ("applied", b"\2\1\x03234"),
                ("applied", b"\1"),
                ("applied", b"\0\1\1x"),
                ("applied", b"\0\0"),
                ("applied", b"\1"),
                ("applied", b"\1"),
            ],
        )
        is_("get of a key that is not there", await query(leader, get(key)), ("applied", b"\0\0"))
        is_("no commands, no outcomes", await propose(leader), [])
        mixed = await propose(leader, plain(b""), plain(put(key, "z")), plain(b"\x09"), plain(drop(key) + b"!"))
        is_(
            "payloads that mean nothing are rejected, and the one among them is applied",
            mixed,
            [("rejected", None), ("applied", b"\0\0"), ("rejected", None), ("rejected", None)],
        )
        for question in (b"", b"\x63", b"\2!"):
            is_(f"so are questions ({question!r})", await query(leader, question), ("rejected", None))

        await propose(leader, *[plain(put(f"{key}/{n}", str(n) * n)) for n in range(5)])
        prefix = b"\1" + lump(f"{key}/")
        three = b"".join(lump(f"{key}/{n}") for n in range(3))
        is_("keys", await query(leader, prefix + b"\0\3"), ("applied", b"\1\3" + three))
        last = b"\1\1" + lump(f"{key}/4")
        is_("keys behind one", await query(leader, prefix + maybe(f"{key}/3") + b"\5"), ("applied", last))
        is_("read of a part", await query(leader, b"\4" + lump(f"{key}/4") + b"\1\2"), ("applied", b"\4\1\00244\4"))
        count, digest = await query(leader, b"\2"), await query(leader, b"\3")
        check("count", count[0] == "applied" and count[1][0] == 2 and count[1][1] >= 6, count)
        check("digest", digest[0] == "applied" and digest[1][0] == 3 and len(digest[1]) == 9, digest)
        for other in others:
            is_(f"linearizable at peer {other.id}: not it", (await query(other, get(key)))[0], "notLeader")
        await asyncio.sleep(0.5)
        for other in others:
            is_(f"local at peer {other.id}", await query(other, b"\3", "local"), digest)

        where = (leader.id, {m.id: m.address for m in leader.welcome.members}[leader.id])
        for other in others:
            two = await propose(other, plain(put(key, "no")), plain(b"\x09"))
            is_(f"peer {other.id} says who leads", two, [("notLeader", where)] * 2)
        is_("and nothing of that was done", await query(leader, get(key)), ("applied", b"\0\1\1z"))

        longest = limits.commandBytesMax
        too = plain(append(key, bytes(longest)))
        is_("a command that is too large", await propose(leader, too), [("tooLarge", longest)])
        is_("a question that is too large", await query(leader, get(bytes(longest))), ("tooLarge", longest))
        room = longest - len(append("big", b"")) - 3
        is_("one that just fits", (await propose(leader, plain(put("big", bytes(room)))))[0][0], "applied")
        many = limits.batchEntriesMax
        full = await propose(leader, *[plain(append("many", "x"))] * many)
        check("a full batch", len(full) == many and all(one[0] == "applied" for one in full), full[:3])
        text = await thrown(leader.client.propose(0, [plain(append("many", "x"))] * (many + 1), 1000))
        check("one more is an exception that says the limit", text and str(many) in text, text)
        is_("and none of it was done", (await query(leader, b"\4" + lump("many") + b"\0\0"))[1][-2:], varint(many))

        # As long as no answer with it fits: a query is `tooLarge`, a command `unknown` though it was applied.
        long = 0
        while long <= limits.answerBytesMax:
            (outcome,) = await propose(leader, plain(append("big", bytes(room))))
            long += room
        met = await query(leader, get("big"))
        check("an answer that is too large", met[0] == "tooLarge" and 0 < met[1] <= limits.answerBytesMax, met)
        is_("a command whose answer is", await propose(leader, plain(put("big", "small"))), [("unknown", None)])
        is_("was applied", await query(leader, get("big")), ("applied", b"\0\1\5small"))

        calls = [
            leader.client.propose(1, [], 0),
            leader.client.query(1, get(key), "local", 0),
            leader.client.openSession(1, new_session(), 0),
            leader.client.keepSession(1, new_session(), 0),
            leader.client.closeSession(1, new_session(), 0),
            leader.client.ping(1),
            leader.admin.status(1),
            leader.admin.transfer(1, 0),
            leader.admin.snapshot(2**63),
        ]
        names = "propose query openSession keepSession closeSession ping status transfer snapshot".split()
        for name, call in zip(names, calls):
            text = await thrown(call)
            check(f"{name} in another group: an exception that says so", text and "group" in text, text)
        pong = (await soon(leader.client.ping(0))).pong
        is_("ping", (pong.peer, pong.role, pong.leader.id), (leader.id, "leader", leader.id))


async def sessions(at, _strict):
    async with Lines() as lines:
        leader, others = await leader_of(lines, at)
        key, one = secrets.token_hex(4), new_session()
        add = append(key, "x")
        is_("a session that nobody opened", await propose(leader, placed(add, one, 1)), [("sessionExpired", None)])
        is_("keeping it opens none", await session(leader, "keepSession", one), (("sessionExpired", None), 0))
        is_("it counts as closed", (await session(leader, "closeSession", one))[0], APPLIED)
        is_("open", await session(leader, "openSession", one), (APPLIED, 0))
        is_("a gap", await propose(leader, placed(add, one, 2)), [("gap", 1)])
        is_("the first", await propose(leader, placed(add, one, 1)), [("applied", b"\3\1")])
        is_("a repeat gets the first answer", await propose(leader, placed(add, one, 1)), [("applied", b"\3\1")])
        is_("whatever is in it", await propose(leader, placed(drop(key), one, 1)), [("applied", b"\3\1")])
        batch = await propose(leader, plain(add), placed(add, one, 2), placed(add, one, 3), placed(add, one, 5))
        is_("in order", batch, [("applied", b"\3\2"), ("applied", b"\3\3"), ("applied", b"\3\4"), ("gap", 4)])
        is_("to open it again tells how far it got", await session(leader, "openSession", one), (APPLIED, 3))
        is_("so does keeping it", await session(leader, "keepSession", one), (APPLIED, 3))
        met = await propose(leader, placed(add, one, 4, lowest=4), placed(add, one, 3, lowest=1))
        is_("an answer that may be forgotten is not given as another", met[0], ("applied", b"\3\5"))
        check("nor applied again", met[1][0] in ("unknown", "applied"), met)
        for name, wrong in (("0", placed(add, one, 0)), ("below its receipt", placed(add, one, 5, lowest=6))):
            is_(f"a sequence {name} is rejected", await propose(leader, wrong), [("rejected", None)])
        is_("five were applied", (await query(leader, get(key)))[1], b"\0\1\5xxxxx")

        # The answer belongs to the session, not to the leader.
        target = others[0]
        is_("transfer to a given peer", done(await soon(leader.admin.transfer(0, target.id))), "done")
        leader, others = await leader_of(lines, at)
        is_("it leads", leader.id, target.id)
        is_("there, too, a repeat gets the first answer", await propose(leader, placed(add, one, 4)), [("applied", b"\3\5")])
        for method in ("openSession", "keepSession", "closeSession"):
            is_(f"{method} elsewhere", (await session(others[0], method, one))[0][0], "notLeader")
        is_("close", (await session(leader, "closeSession", one))[0], APPLIED)
        is_("then it is gone", await propose(leader, placed(add, one, 5)), [("sessionExpired", None)])
        is_("close again", (await session(leader, "closeSession", one))[0], APPLIED)

        # The cluster keeps four.
        five = [new_session() for _ in range(5)]
        for id_ in five[:4]:
            is_("open one of four", (await session(leader, "openSession", id_))[0], APPLIED)
        is_("keep the first", (await session(leader, "keepSession", five[0]))[0], APPLIED)
        is_("open a fifth", (await session(leader, "openSession", five[4]))[0], APPLIED)
        is_("the one unused for longest is gone", await propose(leader, placed(add, five[1], 1)), [("sessionExpired", None)])
        is_("the one that was kept is not", (await propose(leader, placed(add, five[0], 1)))[0][0], "applied")
        for id_ in five:
            await session(leader, "closeSession", id_)


async def orders(at, _strict):
    async with Lines() as lines:
        leader, others = await leader_of(lines, at)
        # A new leader tells how the others do from its first heartbeat on.
        for _ in range(20):
            status = (await soon(leader.admin.status(0))).status
            if all(view.isFollowed for view in status.peers):
                break
            await asyncio.sleep(0.05)
        is_("status: who", (status.peer, status.role, status.leader.id), (leader.id, "leader", leader.id))
        is_("status: cluster", status.cluster, leader.welcome.cluster)
        check("status: the log", status.last.index >= status.commit >= status.applied > 0, status)
        check("status: settled, sound", status.settled and not status.diskFull and not status.poisoned, status)
        check("status: connections", status.connections >= 3, status.connections)
        is_("status: no violations", status.violations, 0)
        is_("status: no faults", list(status.faults), [])
        is_("status: the others", sorted(view.id for view in status.peers), sorted(other.id for other in others))
        check("status: reached, followed, healthy", all(v.connected and v.isFollowed and v.healthy for v in status.peers), status.peers)
        follower = (await soon(others[0].admin.status(0))).status
        is_("status of a follower", (follower.role, follower.leader.id), ("follower", leader.id))
        check("it follows nobody's log", not any(view.isFollowed for view in follower.peers), follower.peers)

        is_("transfer at a follower", done(await soon(others[0].admin.transfer(0, 0))), "notLeader")
        is_("transfer to nobody's id", done(await soon(leader.admin.transfer(0, 9))), "notAVoter")
        is_("transfer to whoever is furthest", done(await soon(leader.admin.transfer(0, 0))), "done")
        before = leader.id
        leader, others = await leader_of(lines, at)
        check("another leads", leader.id != before, leader.id)

        for line in (leader, others[0]):
            (before,) = [(await soon(line.client.ping(0))).pong.applied]
            reply = await soon(line.admin.snapshot(0))
            is_(f"snapshot at peer {line.id}", done(reply), "done")
            check("it covers what was applied", reply.index >= before > 0, (reply.index, before))
            is_("status says so", (await soon(line.admin.status(0))).status.snapshot, reply.index)

        # Faults.
        line = others[0]
        rules = ["cut to=9", "loss 0.1 kind=append-entries", "delay 10..=50 from=8", "duplicate 0.5", "reorder 0.2 5..=20 to=7"]
        for rule in rules:
            is_(f"fault `{rule}`", done(await soon(line.admin.setFault(rule))), "done")
        is_("listFaults", list((await soon(line.admin.listFaults())).rules), rules)
        is_("status lists them", list((await soon(line.admin.status(0))).status.faults), rules)
        for rule in ("", "loss 2", "nonsense", "delay 5..=1", "cut to=x", "cut kind=nothing"):
            is_(f"no rule: `{rule}`", done(await soon(line.admin.setFault(rule))), "badRule")
        is_("clearFaults", done(await soon(line.admin.clearFaults())), "done")
        is_("then there are none", list((await soon(line.admin.listFaults())).rules), [])
        reason = "done"
        for count in range(5000):
            reply = await soon(line.admin.setFault("cut to=9"))
            if reply.result.which() == "failed":
                reason = done(reply)
                break
        is_(f"too many rules ({count} are taken)", reason, "tooMany")
        await soon(line.admin.clearFaults())

        is_("isolate", done(await soon(line.admin.isolate())), "done")
        check("it is a rule, too", len((await soon(line.admin.listFaults())).rules) == 1)
        await asyncio.sleep(1)
        pong = (await soon(line.client.ping(0))).pong
        is_("who is cut off knows no leader", (pong.leader.id, pong.role in ("preCandidate", "candidate")), (0, True))
        is_("and says so", await propose(line, plain(put("x", "x")), ms=500), [("notLeader", (0, ""))])
        is_("linearizable there", await query(line, get("x"), ms=500), ("notLeader", (0, "")))
        is_("local there", (await query(line, get("x"), "local"))[0], "applied")
        view = {view.id: view for view in (await soon(leader.admin.status(0))).status.peers}[line.id]
        check("the leader's status shows its silence", view.silentMs >= 500, view)
        is_("clearFaults ends an isolation", done(await soon(line.admin.clearFaults())), "done")
        await leader_of(lines, at)
        is_("reconnect when connected", done(await soon(line.admin.reconnect())), "done")


async def cut_off(at, _strict):
    """The leader loses its majority with commands under way."""
    async with Lines() as lines:
        leader, others = await leader_of(lines, at)
        key = secrets.token_hex(4)
        await soon(leader.admin.isolate())
        began = time.monotonic()
        stays = asyncio.ensure_future(propose(leader, plain(append(key, "lost")), ms=9000))
        reads = asyncio.ensure_future(query(leader, get(key), ms=400))
        opens = asyncio.ensure_future(session(leader, "openSession", new_session(), ms=400))
        default = asyncio.ensure_future(propose(leader, plain(append(key, "lost")), ms=0))
        is_("a cut-off leader: unknown", await propose(leader, plain(append(key, "lost")), ms=400), [("unknown", None)])
        took = time.monotonic() - began
        check("after the deadline", 0.39 < took < 1.5, f"{took:.3f} s")
        is_("openSession: unknown", (await opens)[0], ("unknown", None))
        read = await reads
        check("a query: never an answer", read in (("unknown", None), ("notLeader", (0, ""))), read)
        is_("the peer's default deadline", await default, [("unknown", None)])
        took = time.monotonic() - began
        check("is the one of its settings", 0.9 < took < 2.5, f"{took:.3f} s")

        elsewhere, _ = await leader_of(lines, [at[other.id - 1] for other in others])
        is_("the others go on", await propose(elsewhere, plain(append(key, "kept"))), [("applied", b"\3\4")])
        await soon(leader.admin.reconnect())
        is_("what was overwritten is lost", await stays, [("lost", None)])
        now, _ = await leader_of(lines, at)
        is_("and was not done", await query(now, get(key)), ("applied", b"\0\1\4kept"))

        leader, others = await leader_of(lines, at)
        target = others[0]
        await soon(target.admin.isolate())
        two = await asyncio.gather(*[soon(leader.admin.transfer(0, target.id)) for _ in range(2)])
        is_("transfers to who is cut off", sorted(done(one) for one in two), ["busy", "timedOut"])
        await soon(target.admin.reconnect())
        again, _ = await leader_of(lines, at)
        is_("a leader that keeps leadership goes on", (await propose(again, plain(put(key, "on"))))[0][0], "applied")


class Ear(wire.Watcher.Server):
    def __init__(self, slow=0.0):
        self.heard, self.missed, self.calls, self.slow = [], 0, [], slow

    async def events(self, events, missed, **_):
        self.calls.append(len(events))
        self.missed += missed
        for event in events:
            fields = {field.name: getattr(field, field.which()) for field in event.fields}
            self.heard.append((event.seq, event.atUs, event.peer, event.term, str(event.role), event.name, event.why, fields))
        await asyncio.sleep(self.slow)

    def names(self):
        return {event[5] for event in self.heard}


async def until(holds, seconds=10):
    for _ in range(int(seconds * 20)):
        if holds():
            return True
        await asyncio.sleep(0.05)
    return False


async def watching(at, strict):
    async with Lines() as lines:
        leader, others = await leader_of(lines, at)
        ears = [Ear() for _ in others]
        held = []
        for other, ear in zip(others, ears):
            reply = await soon(other.admin.watch(ear))
            is_(f"watch peer {other.id}", done(reply), "done")
            held.append(reply.watch)
        target = others[0]
        is_("a transfer", done(await soon(leader.admin.transfer(0, target.id))), "done")
        check("the watcher hears `Elected`", await until(lambda: "Elected" in ears[0].names()), ears[0].names())
        leader, _ = await leader_of(lines, at)
        await propose(leader, plain(put("watched", "yes")))
        check("and `Committed`", await until(lambda: "Committed" in ears[0].names()), ears[0].names())
        elected = [event for event in ears[0].heard if event[5] == "Elected"][0]
        is_("with peer and role", (elected[2], elected[4]), (target.id, "leader"))
        check("and term and why", elected[3] > 0 and elected[6], elected)
        seqs = [event[0] for event in ears[0].heard]
        is_("in order, none missing", seqs, list(range(seqs[0], seqs[0] + len(seqs))))
        times = [event[1] for event in ears[0].heard]
        check("time goes on", times == sorted(times))
        check("fields have names and values", any(event[7] for event in ears[0].heard))

        held.clear()
        del reply
        await asyncio.sleep(0.5)
        calls = len(ears[0].calls)
        await asyncio.sleep(1)
        is_("who drops the watch hears no more", len(ears[0].calls), calls)

        more = await lines(at[0])
        reasons = []
        for _ in range(10):
            reply = await soon(more.admin.watch(Ear()))
            reasons.append(reply.result.which())
            if reply.result.which() == "failed":
                is_(f"too many watchers ({len(reasons) - 1} are taken)", done(reply), "tooMany")
                check("and no watch", not reply._has("watch"))
                break
            held.append(reply.watch)
        is_("there is an end to it", reasons[-1], "failed")
        held.pop(), reasons.clear()
        del reply
        check("one dropped, one more is taken", await until_watch(more, held), "none")
        held.clear()

        slow = Ear(slow=6)
        reply = await soon(leader.admin.watch(slow))
        for _ in range(900):
            await propose(leader, plain(append("noise", "n")))
        check("who is slow is told how much it missed", await until(lambda: slow.missed > 0, 20), slow.calls)
        slow.slow = 0
        span = lambda: slow.heard[-1][0] - slow.heard[0][0] + 1
        exact = await until(lambda: span() == len(slow.heard) + slow.missed, 15)
        check("exactly so much", exact, (span(), len(slow.heard), slow.missed))
        del reply

        # A peer that is alone and idle has nothing to tell.
        alone, quiet = await lines(strict), Ear()
        reply = await soon(alone.admin.watch(quiet))
        check("nothing for five seconds is told, too", await until(lambda: 0 in quiet.calls, 7), quiet.calls)


async def until_watch(line, held):
    for _ in range(20):
        reply = await soon(line.admin.watch(Ear()))
        if reply.result.which() == "done":
            held.append(reply.watch)
            return True
        await asyncio.sleep(0.1)
    return False


async def strictly(_at, strict):
    async with Lines() as lines:
        line = await lines(strict)
        for name, call in (
            ("isolate", line.admin.isolate()),
            ("reconnect", line.admin.reconnect()),
            ("setFault", line.admin.setFault("cut to=2")),
            ("clearFaults", line.admin.clearFaults()),
        ):
            is_(f"{name} without --allow-faults", done(await soon(call)), "notAllowed")
        is_("listFaults is allowed", list((await soon(line.admin.listFaults())).rules), [])
        is_("a transfer to nobody", done(await soon(line.admin.transfer(0, 0))), "notAVoter")

        limits = line.welcome.limits
        many = [line.client.ping(0) for _ in range(3 * limits.callsMax)]
        check("more calls than may wait are answered later", len(await asyncio.gather(*map(soon, many))) == len(many))
        command, size = plain(append("busy", "x")), limits.batchEntriesMax
        crowd, met = [line, await lines(strict), await lines(strict)], []
        for _ in range(20):
            calls = [propose(one, *[command] * size) for one in crowd for _ in range(limits.callsMax)]
            met += [one for batch in await asyncio.gather(*calls) for one in batch]
            kinds = {one[0] for one in met}
            if "busy" in kinds:
                break
        check("more than the inbox takes is busy", kinds == {"applied", "busy"}, kinds)
        length = (await query(line, b"\4" + lump("busy") + b"\0\0"))[1][3:]
        is_("only what was applied was done", length, varint(sum(one[0] == "applied" for one in met)))

        # Connections: six at a time.
        refused = None
        for count in range(4, 9):
            try:
                refused = (await lines(strict)).refused
            except capnp.KjException as error:
                refused = error
            if refused is not None:
                break
        check(f"connection {count} is turned away", refused is not None)
        if isinstance(refused, capnp.KjException):
            check("with a refusal that says why", False, refused)
        elif refused is not None:
            is_("with a refusal that says why", refused.which(), "tooMany")
        before = (await soon(line.admin.status(0))).status
        check("status counts connections", before.connections >= 5, before.connections)
        check("and those that were turned away", before.refused >= 1, before.refused)


async def ends(strict, said, patience):
    """How long the peer keeps a connection on which `said` was said; None if it kept it beyond the patience."""
    host, port = strict.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    began = time.monotonic()
    try:
        writer.write(said)
        while await asyncio.wait_for(reader.read(65536), patience):
            pass
    except asyncio.TimeoutError:
        return None
    except ConnectionError:
        pass
    finally:
        writer.close()
    return time.monotonic() - began


async def rude(_at, strict):
    """What is no conversation ends it, and nobody else's. The settings: 1 s to shake hands, 6 s idle."""
    took = await ends(strict, b"", 5)
    check("silence: closed when the handshake is due", took is not None and 0.5 < took < 2.5, took)
    for name, said in (
        ("text", b"GET / HTTP/1.1\r\n\r\n"),
        ("noise", secrets.token_bytes(4096)),
        ("a frame of 1 MiB before the handshake", (0).to_bytes(4, "little") + (1 << 17).to_bytes(4, "little") + bytes(70000)),
        ("too many segments", (100000).to_bytes(4, "little") + bytes(400004)),
        ("half a frame", (0).to_bytes(4, "little") + (16).to_bytes(4, "little") + bytes(8)),
    ):
        took = await ends(strict, said, 5)
        check(f"{name}: closed", took is not None, took)

    async with Lines() as lines:
        await asyncio.sleep(0.5)
        line, idle = await lines(strict), await lines(strict)
        for _ in range(14):
            await asyncio.sleep(0.5)
            await soon(line.client.ping(0))
        check("who pings stays", (await soon(line.client.ping(0))).pong.peer == 1)
        text = await thrown(idle.client.ping(0))
        check("who is idle is gone", text is not None, text)
        text = await thrown(line.client.propose(0, [plain(bytes(line.welcome.limits.frameBytesMax))], 1000))
        check("a frame that is too long ends the connection", text is not None, text)
        check("and nobody else's", (await soon((await lines(strict)).client.ping(0))).pong.role == "leader")


TOPICS = [handshake, commands, sessions, orders, peers_handshake, cut_off, watching, strictly, rude]


async def main(args):
    for topic in TOPICS:
        if args.only and topic.__name__ not in args.only:
            continue
        print(topic.__name__.replace("_", " "), flush=True)
        try:
            await asyncio.wait_for(topic(args.at, args.strict), 120)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)
            lines = [frame.lineno for frame in where if frame.filename == __file__]
            check(f"{topic.__name__} runs to its end", False, f"{type(error).__name__} at lines {lines}: {error}")
    print(f"\n{passed} checks hold, {len(failures)} do not")
    for what in failures:
        print(f"  {what}")
    return 1 if failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", required=True, type=lambda text: text.split(","), help="peers 1, 2 and 3")
    parser.add_argument("--strict", required=True, help="the peer with tiny limits")
    parser.add_argument("--only", action="append", help="this topic only; may be repeated")
    parser.add_argument("--disk", default="0", help="the incarnation in the stamp of peer 2's folder")
    args = parser.parse_args()
    DISK = int(args.disk, 16)
    sys.exit(asyncio.run(capnp.run(main(args))))
