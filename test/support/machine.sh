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

[[ $(id -u) = 0 ]] || cannot 'it needs root'
node=$(node --print 'process.versions.node.split(".")[0] >= 24 ? process.execPath : ""')
[[ -n $node ]] || cannot 'it needs Node 24'
