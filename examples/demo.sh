#!/bin/sh
# The demo: a cloud of two zones on the simulator, twenty VMs, and what became of them.
#   examples/demo.sh [FOLDER]    keeps its database in FOLDER (.demo), which it makes anew; needs `interlock` on the path
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-.demo}
rm -rf "$folder"
mkdir -p "$folder"
export INTERLOCK_DB="$folder/interlock.db"

say() { printf '\n$ %s\n' "$*"; "$@"; }

say interlock init "$here/cloud.toml"
say interlock deploy web --offering small --template debian-12 --count 20
say interlock stop web-1 web-2 web-3
say interlock destroy web-4 web-5
say interlock start web-2
say interlock expunge web-5
say interlock ps --all
say interlock history web-2
say interlock doctor
printf '\nThe database stays in %s. Try: %s --db %s show web-1\n' "$folder" "$(command -v interlock)" "$INTERLOCK_DB"
