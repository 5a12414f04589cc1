#!/usr/bin/env bash
# Prometheus and aion side by side on the same blocks; the page goes to docs/performance.md. Arguments are passed on.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v prometheus >/dev/null || { echo "prometheus is not on PATH (Debian: apt-get install prometheus)" >&2; exit 1; }
cargo build -q --release -p aion
exec cargo run -q --release -p tests --bin side-by-side -- --out=docs/performance.md "$@"
