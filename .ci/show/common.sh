# What the scripts beside this one share: builds the cluster example, makes the files that are fed to
# it, and a place for what comes out. Source it; do not run it.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$HERE/../.."

cargo build --quiet --release --example cluster
CLUSTER="${CARGO_TARGET_DIR:-target}/release/examples/cluster"
CLUSTER="$(cd "$(dirname "$CLUSTER")" && pwd)/cluster"

WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT
cd "$WORK"

failed=0
fail() {
    printf '\033[31mFAILED\033[0m  %s\n' "$*"
    failed=$((failed + 1))
}

# The files: no line, one, empty lines, no newline at the end, any bytes, and many lines.
make_files() {
    python3 - "$1" <<'PYTHON'
import random, sys
chance = random.Random(1)
def write(name, data):
    with open(name, "wb") as file:
        file.write(data)
write("empty", b"")
write("one", b"one line\n")
write("blank", b"\n" * 700)
write("open-end", b"".join(b"line %d\n" % n for n in range(700)) + b"and no newline")
write("binary", chance.randbytes(200_000))
long = [bytes([65 + n % 26]) * chance.choice([0, 10, 100_000, 2_000_000]) + b"\n" for n in range(60)]
write("long-lines", b"".join(long))
write("many", b"".join(b"line %d %s\n" % (n, b"x" * chance.randrange(60)) for n in range(int(sys.argv[1]))))
PYTHON
}

# same FILE PEERS DIR: every peer's dump is the file, byte for byte.
same() {
    local peer
    for peer in $(seq "$2"); do
        cmp "$1" "$3/peer-$peer.log" || return 1
    done
}

finish() {
    echo
    if [ "$failed" -gt 0 ]; then
        echo "$failed failed"
        exit 1
    fi
    echo "$1"
}

# What stands between a program and its disk; see tools/disk.c. Needs a C compiler, as cargo does.
TOOLS="$HERE/tools"
make_disk() {
    cc -O1 -shared -fPIC -o "$WORK/disk.so" "$TOOLS/disk.c" -ldl -lpthread
}
