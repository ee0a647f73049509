#!/usr/bin/env python3
"""A client of the key-value cluster that `cargo run --example peer` makes, in Python.

It knows nothing but schema/messages.capnp, and is meant to be read beside it: whoever writes a client in
yet another language does the same in the same order.

    pip install pycapnp                              version 2; nothing else is needed

    client.py set colour red                         at 127.0.0.1:7001, as is everything without --at
    client.py get colour
    client.py get colour --consistency local         what the peer at --at has: it may be behind
    client.py status --at 127.0.0.1:7002,127.0.0.1:7003
    client.py watch --count 10                       shows what happens at the peer, as it happens
    client.py get colour --tls-ca certs/ca.pem --tls-cert certs/client.pem --tls-key certs/client.key

Any peer will do: the client finds the leader from there. It tries for five seconds.

Exit code: 0 if it was done; 1 if not; 2 for a wrong call; 3 if it is not known whether it was done.
"""

import argparse
import asyncio
import contextlib
import os
import pathlib
import ssl
import sys
import time

import capnp

WIRE = capnp.load(str(pathlib.Path(__file__).resolve().parents[1] / "schema" / "messages.capnp"))
PATIENCE = 5.0  # seconds for all attempts together
PAUSE = 0.1  # seconds before the next attempt, when nobody leads or the leader is busy


class NotDone(Exception):
    """It was not done. The text says why, and what to do; another attempt may have more luck."""


class Elsewhere(NotDone):
    """It was not done, because another peer leads."""

    def __init__(self, leader):
        super().__init__("the peers found no leader: see with `status` whether a majority of them runs")
        self.leader = leader


class Never(NotDone):
    """It was not done, and will not be."""


class Unknown(Exception):
    """It may have been done, or may still be done."""


# -- The key-value machine's encoding: the table at `Command.payload`


def number(n):
    """A LEB128 varint: seven bits in each byte, the lowest first; the eighth bit says that more follow."""
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def data(bytes_):
    """A key or a value."""
    return number(len(bytes_)) + bytes_


def set_command(key, value):
    return b"\0" + data(key) + data(value)


def get_question(key):
    return b"\0" + data(key)


def value(answer):
    """The value in an answer to `set` or `get`, `None` if there is none: `0 value?`."""
    kind, there, *rest = answer
    if (kind, there) == (0, 0):
        return None
    length = shift = 0
    for at, byte in enumerate(rest):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return bytes(rest[at + 1 : at + 1 + length])
    raise Never("the answer is cut short: is it a key-value cluster?")


# -- The handshake


@contextlib.asynccontextmanager
async def connection(address, args):
    """Connects, says hello, and lends the `Welcome` with all its capabilities."""
    host, _, port = address.rpartition(":")
    with contextlib.ExitStack() as ends:
        try:
            connect = capnp.AsyncIoStream.create_connection(host.strip("[]"), int(port), **args.tls)
            stream = await within(1, connect)
            ends.callback(stream.close)
            client = capnp.TwoPartyClient(stream)
            ends.callback(client.close)
            bootstrap = client.bootstrap().cast_as(WIRE.Bootstrap)
            hello = {"protocol": 1, "cluster": args.cluster, "client": {"name": "client.py"}}
            reply = (await within(1, bootstrap.connect(hello))).reply
        except ssl.SSLError as error:
            raise NotDone(f"no TLS with {address}: {error}: does it speak TLS, and is the authority the same?")
        except (OSError, Unknown) as error:
            what = getattr(error, "strerror", None) or error
            raise NotDone(f"no peer at {address}: {what}: start it, or name others with --at; both or neither speak TLS")
        if reply.which() == "refused":
            raise NotDone(f"{address} refuses: {reply.refused.text}")
        yield reply.welcome


def tls(args):
    """Both ends show a certificate of the same authority; that of a peer is made out to the name `peer`."""
    if not args.tls_ca:
        return {}
    context = ssl.create_default_context(cafile=args.tls_ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["raft-actors/1"])
    context.load_cert_chain(args.tls_cert, args.tls_key)
    return {"ssl": context, "server_hostname": "peer"}


async def within(seconds, call):
    """What the call returns, if it returns so soon. Otherwise what became of it is unknown."""
    try:
        return await asyncio.wait_for(call, seconds)
    except asyncio.TimeoutError:
        raise Unknown("it does not answer")
    except capnp.KjException as error:
        raise Unknown(str(error).splitlines()[0])


# -- Commands and questions


def applied(outcome):
    """The machine's answer, if that is the outcome."""
    what = outcome.which()
    if what == "applied":
        return outcome.applied
    if what == "unknown":
        raise Unknown("no majority of the peers answered in time")
    if what == "notLeader":
        raise Elsewhere(outcome.notLeader.address)
    if what in ("busy", "lost"):
        raise NotDone("the cluster is busy, or elects a leader: try again in a moment")
    raise Never(f"the cluster does not take it: {what}: give another key or value")


async def answer(args, ask, repeatable):
    """The answer to `ask(client, deadline_ms)`, from whichever peer leads.

    What was not done is tried again, elsewhere or a little later. Of what may have been done only that is tried
    again which is `repeatable`: a second `set` could undo what somebody else has set in between. (In a session,
    see `Client.openSession`, each command is applied once, however often it is sent.)
    """
    until = time.monotonic() + PATIENCE
    turn = list(args.at)
    while True:
        turn.append(address := turn.pop(0))
        members = []
        try:
            async with connection(address, args) as welcome:
                # The peers that there are. Whoever is not among them is nobody to be sent to.
                members = [member.address for member in welcome.members if member.address]
                turn += [member for member in members if member not in turn]
                left = max(until - time.monotonic(), 0.1)
                return applied(await within(left + 1, ask(welcome.client, int(left * 1000))))
        except Never:
            raise
        except NotDone as error:
            why = error
        except Unknown as error:
            if not repeatable:
                raise Unknown(f"it may have been done, or not: {error}: look with `get` before you repeat it")
            why = NotDone(f"{error}: see with `status` who runs, and try again")
        if time.monotonic() > until:
            raise why
        if getattr(why, "leader", None) in members:
            turn.insert(0, why.leader)
        else:
            await asyncio.sleep(PAUSE)


async def set_value(args):
    command = {"payload": set_command(args.key, args.value), "plain": None}

    async def propose(client, deadline_ms):
        return (await client.propose(group=0, commands=[command], deadlineMs=deadline_ms)).outcomes[0]

    await answer(args, propose, repeatable=False)


async def get_value(args):
    async def query(client, deadline_ms):
        question = get_question(args.key)
        return (await client.query(0, question, args.consistency, deadline_ms)).outcome

    found = value(await answer(args, query, repeatable=True))
    if found is not None:
        sys.stdout.buffer.write(found + b"\n")


# -- What operators ask, of one peer and about that peer


async def show_status(args):
    missing = []
    for address in args.at:
        try:
            async with connection(address, args) as welcome:
                status = (await within(PATIENCE, operator(welcome).status(group=0))).status
                leader = f"peer {status.leader.id} leads" if status.leader.id else "nobody leads"
                print(f"peer {status.peer} at {address}: {status.role} in term {status.term}, {leader};", end=" ")
                print(f"log up to {status.last.index}, committed {status.commit}, applied {status.applied}")
        except (NotDone, Unknown) as error:
            missing.append(str(error))
    if missing:
        raise NotDone("; ".join(missing))


class Watcher(WIRE.Watcher.Server):
    """What a client offers, so that a peer can call it: the peer tells of events as they happen."""

    def __init__(self):
        self.told = asyncio.Queue(1)

    async def events(self, events, missed, **_):
        # What arrives is ours until this returns, and then the next may come: who is slow misses some.
        lines = [f"({missed} were missed)"] if missed else []
        for event in events:
            fields = "".join(f" {field.name}={getattr(field, field.which())}" for field in event.fields)
            who = f"{event.peer}@{event.term} {event.role}"
            lines.append(f"{event.atUs / 1000:.3f} {who} {event.name}{fields}: {event.why}")
        await self.told.put(lines)


async def show_events(args):
    watcher, left = Watcher(), args.count
    async with connection(args.at[0], args) as welcome:
        begun = await within(PATIENCE, operator(welcome).watch(watcher))
        if begun.result.which() == "failed":
            raise NotDone(begun.result.failed.text)
        watch = begun.watch  # the peer tells for as long as somebody holds this
        while left is None or left > 0:
            try:
                lines = await within(15, watcher.told.get())
            except Unknown:  # a peer that has nothing to tell says so every five seconds
                raise NotDone(f"the peer at {args.at[0]} is lost: see with `status` who runs")
            print(*lines[:left], sep="\n", end="\n" if lines else "", flush=True)
            left = left and left - len(lines)
        del watch


def operator(welcome):
    """The `Admin`: a peer that speaks TLS has it for those only whose certificate says `admin`."""
    if not welcome._has("admin"):
        raise NotDone("the peer takes no orders from this client: give it a certificate that names it an admin")
    return welcome.admin


# -- The command line


def arguments():
    def address(text):
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
        return text

    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--at", metavar="ADDR[,ADDR..]", type=lambda text: [address(one) for one in text.split(",")],
                        help="where peers of the cluster listen, as HOST:PORT (127.0.0.1:7001)")
    shared.add_argument("--cluster", help="speak to the cluster of this name only")
    shared.add_argument("--tls-ca", metavar="FILE", help="speak TLS: with whom this authority vouches for")
    shared.add_argument("--tls-cert", metavar="FILE", help="one's own certificate")
    shared.add_argument("--tls-key", metavar="FILE", help="the certificate's key")

    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, parents=[shared], formatter_class=form)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name, does, what):
        added = commands.add_parser(name, help=what, description=what, parents=[shared])
        added.set_defaults(does=does)
        return added

    setting = command("set", set_value, "sets the value of a key")
    setting.add_argument("key", type=os.fsencode)
    setting.add_argument("value", type=os.fsencode)
    getting = command("get", get_value, "prints the value of a key, if it has one")
    getting.add_argument("key", type=os.fsencode)
    getting.add_argument("--consistency", choices=["linearizable", "local"], default="linearizable")
    command("status", show_status, "shows how each of the peers at --at does")
    watching = command("watch", show_events, "shows what happens at the first of --at")
    watching.add_argument("--count", type=int, metavar="N", help="end after so many lines")

    defaults = {"at": ["127.0.0.1:7001"], "cluster": "", "tls_ca": None, "tls_cert": None, "tls_key": None}
    args = parser.parse_args(namespace=argparse.Namespace(**defaults))
    if len({bool(args.tls_ca), bool(args.tls_cert), bool(args.tls_key)}) > 1:
        parser.error("--tls-ca, --tls-cert and --tls-key go together")
    try:
        args.tls = tls(args)
    except (OSError, ssl.SSLError) as error:
        parser.error(f"the files of --tls-ca, --tls-cert and --tls-key: {error}")
    return args


def main():
    args = arguments()
    try:
        asyncio.run(capnp.run(args.does(args)))
        return 0
    except NotDone as error:
        print(f"client.py: {error}", file=sys.stderr)
        return 1
    except Unknown as error:
        print(f"client.py: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read what is printed has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
