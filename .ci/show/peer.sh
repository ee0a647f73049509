# What the scripts about peers share: the program, and a place for what comes out. Source it; do not run it.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$HERE/../.."

if [ -z "${PEER:-}" ]; then
    cargo build --quiet --release --example peer ${PEER_FEATURES:+--features "$PEER_FEATURES"}
    PEER="$(cd "${CARGO_TARGET_DIR:-target}/release/examples" && pwd)/peer"
fi
export PEER TOOLS="$HERE/tools"
WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT
