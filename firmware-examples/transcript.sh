# What the `record` scripts share: each runs the commands of its transcript in a folder of its own and
# writes down what a terminal would show. To be sourced, with `here` set to the example's folder.
#
# FIELDGATE names another binary. A command that ends otherwise than the text says ends the script.
set -euo pipefail

binary=$(realpath "${FIELDGATE:-$here/../../target/debug/fieldgate}")
site=$(mktemp -d)
out=$site/transcript.md
export COLUMNS=100 NO_COLOR=1 FIELDGATE_CONFIG=fieldgate.toml
unset RUST_LOG
jobs_started=()

finish() {
  for pid in "${jobs_started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${jobs_started[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$site"
}
trap finish EXIT

# The example as it stands in the repository, without what was built there before.
mkdir "$site/bin"
cp -r "$here/.." "$site/firmware-examples"
rm -rf "$site"/firmware-examples/*/build
ln -s "$binary" "$site/bin/fieldgate"
PATH=$site/bin:$PATH
cd "$site/firmware-examples/$(basename "$here")"

say() { printf '%s\n' "$@" "" >> "$out"; }

# Runs a command that must end with status $1, and writes down what a terminal would show.
ends() {
  local expected=$1 status=0
  { printf '```console\n$ %s\n' "$2"; } >> "$out"
  bash -c "$2" > "$site/shown" 2>&1 < /dev/null || status=$?
  sed 's/[[:space:]]*$//' "$site/shown" >> "$out"
  printf '```\n\n' >> "$out"
  if [ "$status" != "$expected" ]; then
    printf '%s: status %s instead of %s\n' "$2" "$status" "$expected" >&2
    cat "$site/shown" >&2
    exit 1
  fi
}
run() { ends 0 "$1"; }

# Starts a command beside the others until the end, and waits until `$1` succeeds.
beside() {
  local ready=$1
  printf '```console\n$ %s &\n```\n\n' "$2" >> "$out"
  bash -c "exec $2" > "$site/beside" 2>&1 &
  jobs_started+=($!)
  settles "$ready" || { cat "$site/beside" >&2; exit 1; }
}

# Waits until `$1` succeeds, at most half a minute.
settles() {
  for _ in $(seq 300); do
    if bash -c "$1" > /dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  printf 'gave up waiting for: %s\n' "$1" >&2
  return 1
}

# One empty line at the end is one too many.
keep() {
  sed -e '$d' "$out" > "$here/transcript.md"
  printf 'wrote %s lines\n' "$(wc -l < "$here/transcript.md")" >&2
}
