#!/usr/bin/env bash
# tornade-manifest takes its inputs by the environment, as action.yml puts them there.
set -euo pipefail

command -v tornade-manifest >/dev/null || {
  echo "tornade-manifest is not here: this step runs on a runner of tornade, so the job needs its labels in runs-on, and a runner image of this release." >&2
  exit 3
}

exec tornade-manifest
