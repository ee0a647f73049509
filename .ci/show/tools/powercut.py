"""Cuts the power of a program, over and over.

The program runs with disk.c between it and its folder, and is killed. Then its folder is put into a
state that a disk may be in after a power cut: everything that was synced is there, and of everything
else nothing, or randomly chosen sectors and names.
"""
import os, random, shutil, signal, struct, subprocess, sys, time

SECTOR = 512


class Inode:
    """A file: what is on the disk, and what was written to it since."""

    def __init__(self, data=b""):
        self.data, self.pending = bytearray(data), []

    @staticmethod
    def put(data, offset, piece):
        if len(data) < offset:
            data.extend(bytes(offset - len(data)))
        data[offset:offset + len(piece)] = piece

    def apply(self, change, keeps=lambda: True):
        op, offset, piece = change
        if op == "t":
            if keeps():
                del self.data[offset:]
                self.data.extend(bytes(offset - len(self.data)))
            return
        at = 0
        while at < len(piece):
            end = min(len(piece), (offset + at) // SECTOR * SECTOR + SECTOR - offset)
            if keeps():
                self.put(self.data, offset + at, piece[at:end])
            at = end

    def sync(self):
        for change in self.pending:
            self.apply(change)
        self.pending = []

    def cut(self, chance):
        for change in self.pending:
            if chance:
                self.apply(change, lambda: chance.random() < 0.5)
        self.pending = []


class Disk:
    """Names and files, durable and not. A folder is None in the place of a file."""

    def __init__(self, root):
        self.root, self.durable = root, {}
        for folder, names, files in os.walk(root):
            here = os.path.relpath(folder, root)
            at = "" if here == "." else here + "/"
            self.durable.update({at + name: None for name in names})
            for name in files:
                with open(os.path.join(folder, name), "rb") as file:
                    self.durable[at + name] = Inode(file.read())
        self.now, self.changes = dict(self.durable), []

    @staticmethod
    def do(names, change):
        op, path, other = change
        if op == "put":
            names[path] = other
        elif op == "rename" and path in names:
            names[other] = names.pop(path)
        elif op == "remove":
            names.pop(path, None)

    def change(self, change):
        self.do(self.now, change)
        self.changes.append(change)

    def replay(self, journal):
        with open(journal, "rb") as file:
            log = file.read()
        at, syncs = 0, 0
        while at + 5 <= len(log):
            op, size = chr(log[at]), struct.unpack_from("<I", log, at + 1)[0]
            path = log[at + 5:at + 5 + size].decode()
            at += 5 + size
            offset, length = struct.unpack_from("<QQ", log, at)
            at += 16
            body = log[at:at + length] if op in "wr" else b""
            at += len(body)
            if op == "c":
                self.change(("put", path, Inode()))
            elif op == "m":
                self.change(("put", path, None))
            elif op == "u":
                self.change(("remove", path, None))
            elif op == "r":
                self.change(("rename", path, body.decode()))
            elif op == "s":
                syncs += 1
                self.sync(path)
            else:
                file = self.now.get(path)
                if file is None:
                    sys.exit(f"the journal writes to {path}, which is not there")
                file.pending.append(("t", length, b"") if op == "t" else ("w", offset, body or bytes(length)))
        return syncs

    def sync(self, path):
        file = self.now.get(path)
        if file is not None:
            return file.sync()
        inside = lambda change: os.path.dirname(change[1]) == path
        for change in filter(inside, self.changes):
            self.do(self.durable, change)
        self.changes = [change for change in self.changes if not inside(change)]

    def cut(self, chance):
        """What is there after the cut."""
        lost = set()
        for change in self.changes:
            names = {change[1], change[2]} if change[0] == "rename" else {change[1]}
            if chance and not names & lost and chance.random() < 0.5:
                self.do(self.durable, change)
            else:
                lost |= names
        for file in filter(None, self.durable.values()):
            file.cut(chance)

    def write_out(self):
        os.umask(0o077)
        shutil.rmtree(self.root, ignore_errors=True)
        os.makedirs(self.root)
        for path in sorted(self.durable):
            parent = os.path.dirname(path)
            if parent and not os.path.isdir(os.path.join(self.root, parent)):
                continue  # Its folder is lost, and it with it.
            if self.durable[path] is None:
                os.mkdir(os.path.join(self.root, path))
            else:
                with open(os.path.join(self.root, path), "wb") as file:
                    file.write(self.durable[path].data)


def grow(path):
    """The same lines, and as many more."""
    with open(path) as file:
        count = sum(1 for _ in file)
    with open(path, "a") as file:
        file.writelines(f"line {number}\n" for number in range(count, 2 * count))


def main(library, data, acks, lines, cuts, longest, keep, command):
    chance = random.Random(os.environ.get("SEED"))
    os.makedirs(data, exist_ok=True)
    last = tails = syncs = 0
    for cut in range(cuts):
        disk, journal = Disk(data), data + ".journal"
        if os.path.exists(journal):
            os.remove(journal)
        environment = dict(os.environ, LD_PRELOAD=library, DISK_UNDER=data, DISK_JOURNAL=journal)
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(chance.uniform(0.02, longest))
        process.send_signal(signal.SIGKILL)
        out, said = process.communicate()
        if process.returncode == 0:
            grow(lines)  # It is faster than that.
        elif process.returncode != -9:
            sys.exit(f"cut {cut}: it ended by itself: {out.decode()}{said.decode()}")
        first = out.decode().partition("\n")[0]
        if first.startswith("resumed at ") and int(first.removeprefix("resumed at ")) < last:
            sys.exit(f"cut {cut}: {first}, and {last} had been acknowledged")
        tails += b"were never synced" in said
        if os.path.exists(acks):
            last = int(open(acks).read() or last)
        if os.path.exists(journal):
            syncs += disk.replay(journal)
        disk.cut(chance if keep == "sectors" else None)
        disk.write_out()
    print(f"{cuts} cuts, {syncs} syncs, {tails} starts that cut a torn tail off, {last} lines acknowledged")
    end = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = end.stdout.decode().partition("\n")[0]
    if end.returncode != 0 or int(first.removeprefix("resumed at ")) < last:
        sys.exit(f"the last run: {end.stdout.decode()}{end.stderr.decode()}")


if __name__ == "__main__":
    library, data, acks, lines, cuts, longest, keep, *command = sys.argv[1:]
    main(os.path.abspath(library), os.path.abspath(data), acks, lines, int(cuts), float(longest), keep, command)
