# What the scripts beside this one that speak to peers from Python share: the release build of the peer program
# (or PEER=FILE: that program), a Python with pycapnp, a place to work in, and the end of what was started.
# Source it; do not run it.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
ROOT="$(cd "$HERE/../.." && pwd)"
TOOLS="$HERE/tools"

if [ -z "${PEER:-}" ]; then
    (cd "$ROOT" && cargo build --quiet --release --example peer)
    PEER="$(cd "$ROOT" && realpath "${CARGO_TARGET_DIR:-target}")/release/examples/peer"
fi
WORK="$(mktemp -d)"
# A copy: a build that comes in between does not change what is shown.
cp "$PEER" "$WORK/peer"
PEER="$WORK/peer"

PYTHON=python3
if ! "$PYTHON" -c 'import capnp, sys; sys.exit(capnp.__version__ < "2")' 2>/dev/null; then
    venv="${PYTHON_ENV:-$WORK/python}"
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    PYTHON="$venv/bin/python"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check 'pycapnp>=2.0,<3'
fi

pids=()
clean() {
    local code=$?
    trap - EXIT
    exec 2>/dev/null # The shell would say of each that it was killed.
    for pid in "${pids[@]}"; do
        kill -9 "$pid" || true
    done
    wait || true
    rm -rf "$WORK"
    exit "$code"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cd "$WORK"

# free N: so many ports on which nobody listens. Not those that the kernel gives to outgoing connections: one of
# these could be gone before the peer listens, or while it restarts.
free() {
    "$PYTHON" - "$1" <<'PYTHON'
import random, socket, sys
found = []
while len(found) < int(sys.argv[1]):
    one = socket.socket()
    try:
        one.bind(("127.0.0.1", random.randrange(10_000, 32_000)))
        found.append(one)
    except OSError:
        pass
ports = [one.getsockname()[1] for one in found]
for one in found:
    one.close()
print(*ports)
PYTHON
}
