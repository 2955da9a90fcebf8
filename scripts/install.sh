# Functions for bin/cairn and scripts/with-node, which source this file: installing what the clone lacks, and finding a
# Node that can run TypeScript. Kept apart so that the usual start of Cairn does not even read it.

# install_packages ROOT [with-tools]
# Installs the packages of package-lock.json; with-tools adds what only development needs.
install_packages() {
  if ! command -v npm >/dev/null 2>&1; then
    echo "cairn: Cannot set up this clone of Cairn: npm is not installed. Install Node 20 or newer with npm, then try again" >&2
    return 1
  fi
  echo "cairn: Installing what Cairn needs into node_modules (by npm, once, up to a minute)" >&2
  if ! installation=$(install_under_lock "$1" "${2-}" 2>&1 </dev/null); then
    printf '%s\n' "$installation" | sed 's/^/  /' >&2
    echo "cairn: Cannot set up this clone of Cairn: npm failed as shown above. Is the network there, and may this user write to the clone? Then try again" >&2
    return 1
  fi
}

# Two first starts at once would remove each other's half-installed packages: the second waits, and finds them there.
install_under_lock() {
  (
    unset CDPATH
    cd "$1" || exit
    if command -v flock >/dev/null 2>&1; then flock 9; fi
    if packages_are_installed . "$2"; then exit 0; fi
    # Under `npm --silent start` npm would hide its errors from us too.
    export npm_config_loglevel=notice
    # `npm ci` begins by removing everything, also from under a Cairn that runs; `npm install` adds what is missing.
    if [ -f node_modules/.package-lock.json ]; then
      npm install --no-save
    elif [ -n "$2" ]; then
      npm ci
    else
      npm ci --omit=dev
    fi || exit
    # Cairn starts twice as quickly from one file; without it, it starts from its sources.
    if find_node . 2>/dev/null; then "$node" --no-warnings scripts/bundle.ts || :; fi
  ) 9<"$1/package-lock.json"
}

# packages_are_installed ROOT [with-tools]
packages_are_installed() {
  # npm writes this file last, so that it tells a complete installation from an interrupted one.
  [ -f "$1/node_modules/.package-lock.json" ] || return 1
  [ -n "${2-}" ] || return 0
  # shellcheck disable=SC3013 # -nt is not in POSIX, but in every sh that Linux systems ship
  [ -d "$1/node_modules/fast-check" ] && ! [ "$1/package-lock.json" -nt "$1/node_modules/.package-lock.json" ]
}

# find_node ROOT
# Sets `node` to the Node that npm brought, else to the one on the PATH if it is new enough.
find_node() {
  for node in "$1"/node_modules/node-linux-*/bin/node; do
    if [ -x "$node" ]; then return 0; fi
  done
  if node=$(command -v node) && "$node" -e 'process.exit(Number.parseInt(process.versions.node) >= 24 ? 0 : 1)'; then
    return 0
  fi
  echo "cairn: Cannot start Cairn: npm has no Node for this machine ($(uname -sm)), and the one on the PATH is missing or older than 24. Install Node 24 or newer" >&2
  return 1
}
