"""Cap'n Proto by hand: just enough to say to a peer whatever it should never hear.

A library would refuse to build most of what is sent here, so the messages are laid out word by word. Structs are
made of data words and pointers, in the layout that `capnp compile` gives schema/messages.capnp and rpc.capnp.
"""
import hashlib
import socket
import struct
import time

FILE_ID = 0xD3C0A17B7F6E4A52


def interface(name):
    """The id of an interface of the schema: what the compiler makes of its name."""
    digest = hashlib.md5(struct.pack("<Q", FILE_ID) + name.encode()).digest()
    return struct.unpack(">Q", digest[:8])[0] | 1 << 63


BOOTSTRAP, CLIENT, ADMIN, RAFT, WATCHER = map(interface, ["Bootstrap", "Client", "Admin", "Raft", "Watcher"])
PROPOSE, QUERY, OPEN_SESSION, KEEP_SESSION, CLOSE_SESSION, PING = range(6)
PRE_VOTE, REQUEST_VOTE, APPEND, INSTALL, TIMEOUT_NOW = range(5)
STATUS, TRANSFER, SNAPSHOT, WATCH = 0, 1, 2, 8


# Writing.

class Struct:
    def __init__(self, data=b"", pointers=()):
        self.data = data + bytes(-len(data) % 8)
        self.pointers = list(pointers)


class Bytes:
    def __init__(self, data):
        self.data = data


class Text(Bytes):
    def __init__(self, text):
        super().__init__(text.encode() + b"\0")


class Words:
    """A list of 64-bit numbers."""

    def __init__(self, numbers):
        self.data = struct.pack(f"<{len(numbers)}Q", *numbers)
        self.count = len(numbers)


class Structs:
    """A list of structs, all of one layout."""

    def __init__(self, items):
        self.items = items


class Cap:
    """A capability: a place in the table of its payload."""

    def __init__(self, index):
        self.index = index


class Raw:
    """A pointer as it is, wild or not."""

    def __init__(self, word):
        self.word = word


def _pointer(out, at, value):
    """Writes `value` at the end of `out`, and a pointer to it into the word at `at`."""
    if value is None:
        return
    begin = len(out) // 8
    offset = begin - at - 1
    if isinstance(value, Raw):
        word = value.word
    elif isinstance(value, Cap):
        word = 3 | value.index << 32
    elif isinstance(value, Struct):
        word = (offset & 0x3FFFFFFF) << 2 | len(value.data) // 8 << 32 | len(value.pointers) << 48
        if not value.data and not value.pointers:
            word = 0xFFFFFFFC
        out += value.data + bytes(8 * len(value.pointers))
        for place, pointer in enumerate(value.pointers):
            _pointer(out, begin + len(value.data) // 8 + place, pointer)
    elif isinstance(value, Words):
        word = 1 | offset << 2 | 5 << 32 | value.count << 35
        out += value.data
    elif isinstance(value, Bytes):
        word = 1 | offset << 2 | 2 << 32 | len(value.data) << 35
        out += value.data + bytes(-len(value.data) % 8)
    else:
        items = value.items
        data, pointers = (len(items[0].data) // 8, len(items[0].pointers)) if items else (0, 0)
        size = data + pointers
        word = 1 | offset << 2 | 7 << 32 | len(items) * size << 35
        out += struct.pack("<Q", len(items) << 2 | data << 32 | pointers << 48)
        first = len(out) // 8
        out += b"".join(item.data + bytes(8 * pointers) for item in items)
        for number, item in enumerate(items):
            for place, pointer in enumerate(item.pointers):
                _pointer(out, first + number * size + data + place, pointer)
    out[8 * at:8 * at + 8] = struct.pack("<Q", word)


def frame(root):
    out = bytearray(8)
    _pointer(out, 0, root)
    return struct.pack("<II", 0, len(out) // 8) + bytes(out)


def u64(*numbers):
    return struct.pack(f"<{len(numbers)}Q", *(number & (1 << 64) - 1 for number in numbers))


# What RPC says.

def message(kind, body):
    return frame(Struct(struct.pack("<H", kind), [body]))


def bootstrap(question):
    return message(8, Struct(struct.pack("<I", question), [None]))


def descriptor(kind, number=0):
    return Struct(struct.pack("<HHI", kind, 0, number), [None])


SENDER_HOSTED, SENDER_PROMISE, RECEIVER_HOSTED = 1, 2, 3


def imported(number):
    return Struct(struct.pack("<IHH", number, 0, 0), [None])


def promised(question, *path):
    ops = [Struct(struct.pack("<HHI", 1, field, 0)) for field in path]
    answer = Struct(struct.pack("<I", question), [Structs(ops) if ops else None])
    return Struct(struct.pack("<IHH", 0, 1, 0), [answer])


def call(question, target, interface_id, method, params, caps=(), to_yourself=False):
    payload = Struct(b"", [params, Structs(list(caps)) if caps else None])
    data = struct.pack("<IHHQQ", question, method, int(to_yourself), interface_id, 0)
    return message(2, Struct(data, [target, payload, None]))


def answer(question, kind=0, content=None, caps=()):
    payload = Struct(b"", [content, Structs(list(caps)) if caps else None])
    return message(3, Struct(struct.pack("<IHHQ", question, 0, kind, 0), [payload]))


def finish(question, keep_caps=False):
    return message(4, Struct(struct.pack("<II", question, int(keep_caps))))


def resolve(promise, to):
    return message(5, Struct(struct.pack("<II", promise, 0), [to]))


def release(number, count=1):
    return message(6, Struct(struct.pack("<II", number, count)))


def disembargo(number, target, context=0):
    return message(13, Struct(struct.pack("<IHH", number, context, 0), [target]))


# What the schema says.

def id128(number):
    return Struct(u64(number >> 64, number))


def introduction(peer, first_membership, incarnation, sessions=(10_000, 1_024)):
    return Struct(u64(peer, first_membership, *sessions), [id128(incarnation)])


def client_hello(cluster="", name="hostile", protocol=1):
    return Struct(struct.pack("<IHH", protocol, 0, 0), [Text(cluster), Struct(b"", [Text(name)])])


def peer_hello(cluster, who, to, protocol=1):
    return Struct(struct.pack("<IHH", protocol, 1, 0), [Text(cluster), Struct(u64(to), [who])])


def connect(question, hello, target=None, **more):
    return call(question, target or promised(0), BOOTSTRAP, 0, Struct(b"", [hello]), **more)


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def piece(data):
    return varint(len(data)) + data


def kv_set(key, value):
    return b"\0" + piece(key) + piece(value)


def kv_get(key):
    return b"\0" + piece(key)


def command(payload, session=None):
    if session is None:
        return Struct(u64(0), [Bytes(payload), None])
    number, sequence, lowest = session
    return Struct(u64(1), [Bytes(payload), Struct(u64(sequence, lowest), [id128(number)])])


def propose(commands, deadline_ms=0, group=0):
    return Struct(u64(group, deadline_ms), [Structs(commands)])


def query(question, local=False, deadline_ms=0):
    return Struct(u64(0) + struct.pack("<HHI", int(local), 0, deadline_ms), [Bytes(question)])


def session(number, deadline_ms=0):
    return Struct(u64(0, deadline_ms), [id128(number)])


def position(term, index):
    return Struct(u64(term, index))


def request(body):
    return Struct(u64(0), [body])


def vote(term, candidate, last=(0, 0), transfer=None):
    data = u64(term, candidate) + (b"" if transfer is None else u64(transfer))
    return request(Struct(data, [position(*last)]))


def append(term, leader, prev=(0, 0), commit=0, batches=(), round_of_reads=0):
    batches = [Struct(u64(of), [Structs([Struct(u64(2), [Bytes(data)]) for data in entries])]) for of, entries in batches]
    data = u64(term, leader, commit, round_of_reads)
    return request(Struct(data, [position(*prev), Structs(batches) if batches else None]))


def install(term, leader, at, voters, size, checksum, offset, data):
    membership = Struct(b"", [Words(voters), None, None, None])
    meta = Struct(u64(size, checksum), [position(*at), membership])
    return request(Struct(u64(term, leader, offset), [meta, Bytes(data)]))


def timeout_now(term, leader):
    return request(Struct(u64(term, leader)))


# Reading: of one segment or many, as a peer sends them, which is to be believed.

class Reader:
    """A struct that came."""

    def __init__(self, segments, segment, at, data, pointers):
        self.segments, self.segment, self.at, self.data, self.pointers = segments, segment, at, data, pointers

    def number(self, byte, size=8):
        if byte + size > 8 * self.data:
            return 0
        begin = 8 * self.at + byte
        return int.from_bytes(self.segments[self.segment][begin:begin + size], "little")

    def pointer(self, place):
        if place >= self.pointers:
            return None
        return follow(self.segments, self.segment, self.at + self.data + place)


def follow(segments, segment, at):
    word = struct.unpack_from("<Q", segments[segment], 8 * at)[0]
    if word == 0:
        return None
    kind = word & 3
    if kind == 2:
        target, other = word >> 3 & 0x1FFFFFFF, word >> 32
        if not word >> 2 & 1:
            return follow(segments, other, target)
        # Two words there: where the object begins, and what it is.
        begin = struct.unpack_from("<Q", segments[other], 8 * target)[0]
        tag = struct.unpack_from("<Q", segments[other], 8 * target + 8)[0]
        return _object(segments, begin >> 32, begin >> 3 & 0x1FFFFFFF, tag)
    if kind == 3:
        return Cap(word >> 32)
    offset = (word & 0xFFFFFFFF) >> 2
    offset -= (offset & 1 << 29) << 1
    return _object(segments, segment, at + 1 + offset, word)


def _object(segments, segment, at, word):
    if word & 3 == 0:
        return Reader(segments, segment, at, word >> 32 & 0xFFFF, word >> 48)
    size, count = word >> 32 & 7, word >> 35
    if size == 2:
        return bytes(segments[segment][8 * at:8 * at + count])
    if size == 7:
        tag = struct.unpack_from("<Q", segments[segment], 8 * at)[0]
        items, data, pointers = (tag & 0xFFFFFFFF) >> 2, tag >> 32 & 0xFFFF, tag >> 48
        step = data + pointers
        return [Reader(segments, segment, at + 1 + place * step, data, pointers) for place in range(items)]
    return None


class Came:
    """A message of RPC that came."""

    def __init__(self, segments):
        self.root = follow(segments, 0, 0)
        self.kind = self.root.number(0, 2)
        self.body = self.root.pointer(0)

    @property
    def is_answer(self):
        return self.kind == 3

    @property
    def question(self):
        return self.body.number(0, 4)

    @property
    def error(self):
        """What an exception or an abort says."""
        if self.kind == 1:
            return text(self.body.pointer(0))
        return text(self.body.pointer(0).pointer(0)) if self.is_answer and self.body.number(6, 2) == 1 else None

    @property
    def content(self):
        """The results of an answer."""
        return self.body.pointer(0).pointer(0) if self.is_answer and self.body.number(6, 2) == 0 else None

    @property
    def caps(self):
        """The numbers of the capabilities in an answer."""
        return [cap.number(4, 4) for cap in self.body.pointer(0).pointer(1) or []]


def text(data):
    return (data or b"\0")[:-1].decode(errors="replace")


class Closed(Exception):
    """The other side hung up."""


REFUSALS = ["protocol", "cluster", "firstMembership", "sameId", "incarnation", "sessionLimits", "stranger", "notMe",
            "certificate", "notReady", "tooMany", "again"]


class Line:
    """One connection, blocking."""

    def __init__(self, at, timeout=10.0, wrap=None):
        self.socket = socket.create_connection(at, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if wrap:
            self.socket = wrap(self.socket)
        self.buffer = bytearray()
        self.next = 0
        self.client = self.admin = self.raft = None
        self.welcome = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, *frames):
        try:
            self.socket.sendall(b"".join(frames))
        except TimeoutError:
            raise
        except OSError as error:
            raise Closed(str(error)) from None

    def _fill(self, count):
        while len(self.buffer) < count:
            try:
                data = self.socket.recv(1 << 18)
            except TimeoutError:
                raise
            except OSError as error:
                raise Closed(str(error)) from None
            if not data:
                raise Closed("the end")
            self.buffer += data

    def read(self):
        """The next message."""
        self._fill(8)
        count = struct.unpack_from("<I", self.buffer)[0] + 1
        table = 4 + 4 * count
        table += -table % 8
        self._fill(table)
        sizes = struct.unpack_from(f"<{count}I", self.buffer, 4)
        self._fill(table + 8 * sum(sizes))
        segments, at = [], table
        for size in sizes:
            segments.append(bytes(self.buffer[at:at + 8 * size]))
            at += 8 * size
        del self.buffer[:at]
        return Came(segments)

    def wait(self, question):
        """The answer to a question; what else comes is nothing."""
        while True:
            came = self.read()
            if came.kind == 1:
                raise Closed(came.error)
            if came.is_answer and came.question == question:
                return came

    def ask(self, target, interface_id, method, params, **more):
        question = self.new_question()
        self.send(call(question, target, interface_id, method, params, **more))
        return self.wait(question)

    def new_question(self):
        self.next += 1
        return self.next

    def greet(self, hello):
        """Shakes hands. Returns nothing, or the kind of the refusal and its text."""
        question = self.new_question()
        if question == 1:
            self.send(bootstrap(0))
        self.send(connect(question, hello))
        came = self.wait(question)
        if came.error is not None:
            return "exception", came.error
        reply = came.content.pointer(0)
        told = reply.pointer(0)
        if reply.number(0, 2) == 1:
            # Where the compiler put the union's tag: behind the number of 32 bits.
            self.refusal = told
            return REFUSALS[told.number(4, 2)], text(told.pointer(0))
        caps = came.caps
        self.welcome = told
        self.client, self.admin, self.raft = (
            imported(caps[cap.index]) if cap is not None else None for cap in map(told.pointer, (4, 5, 6)))
        return None

    def first_membership(self):
        return self.welcome.pointer(1).number(8, 4)

    def cluster(self):
        return text(self.welcome.pointer(0))

    def ping(self):
        pong = self.ask(self.client, CLIENT, PING, Struct(u64(0))).content.pointer(0)
        return {"peer": pong.number(0), "role": pong.number(8, 2), "term": pong.number(16), "applied": pong.number(24),
                "leader": pong.pointer(0).number(0)}


OUTCOMES = ["unknown", "applied", "notLeader", "busy", "lost", "rejected", "poisoned", "gap", "sessionExpired",
            "tooLarge"]


def outcome(reader):
    return OUTCOMES[reader.number(0, 2)]


def client(at, **more):
    line = Line(at, **more)
    refused = line.greet(client_hello())
    if refused:
        raise Closed(f"{refused}")
    return line


def is_closed(sock):
    """Whether the other side hung up, without waiting. What it said before is thrown away."""
    sock.setblocking(False)
    try:
        while sock.recv(1 << 16):
            pass
        return True
    except (BlockingIOError, InterruptedError):
        return False
    except OSError:
        return True


def until(holds, seconds, step=0.05):
    """How long it took, or nothing if it took longer."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if holds():
            return time.monotonic() - began
        time.sleep(step)
    return None
