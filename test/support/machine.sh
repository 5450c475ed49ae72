# shellcheck shell=bash
# What the scripts that build and run images for real want of the machine. To be sourced. Sets `node`, to a Node that runs TypeScript.

# Ends with 77: no verdict on what was to be tested.
cannot() {
  echo "$(basename "$0"): skipped, $*"
  exit 77
}

# These packages of Debian, which it installs where they are missing.
packages() {
  local missing=() package
  command -v apt-get >/dev/null || cannot 'it needs apt-get'
  for package in "$@"; do
    dpkg --status "$package" >/dev/null 2>&1 || missing+=("$package")
  done
  ((${#missing[@]} == 0)) && return
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"; } \
    >/dev/null 2>&1 || cannot "${missing[*]} cannot be installed"
}

# Waits for what another program does, which may have died: what, in words, and the command that tells whether it is so.
eventually() {
  local what=$1 end=$((SECONDS + 60))
  shift
  until "$@"; do
    ((SECONDS < end)) || { echo "$(basename "$0"): FAILED, after a minute $what"; exit 1; }
    sleep 0.1
  done
}

# docker-registry on a port of loopback that it finds free itself: name, and more of its configuration. Its address is in
# `address`, and its process in `server`; its images and its log are in $work, under its name.
# shellcheck disable=SC2034,SC2154
registry() {
  cat >"$work/$1.yml" <<YML
version: 0.1
log: { level: info, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: "$work/$1" }, delete: { enabled: true } }
http: { addr: "127.0.0.1:0" }
$2
YML
  docker-registry serve "$work/$1.yml" >"$work/$1.log" 2>&1 &
  server=$!
  eventually "the registry $1 does not listen" grep --quiet 'listening on' "$work/$1.log"
  address=$(grep --only-matching --max-count=1 'listening on 127[0-9.:]*' "$work/$1.log" | cut --delimiter=' ' --fields=3)
}

[[ $(id -u) = 0 ]] || cannot 'it needs root'
node=$(node --print 'process.versions.node.split(".")[0] >= 24 ? process.execPath : ""')
[[ -n $node ]] || cannot 'it needs Node 24'
