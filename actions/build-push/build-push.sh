#!/usr/bin/env bash
# tornade-push takes its inputs by the environment, as action.yml puts them there.
set -euo pipefail

command -v tornade-push >/dev/null || {
  echo "tornade-push is not here: this step runs on a runner of tornade, so the job needs its labels in runs-on (build among them), and a runner image of this release." >&2
  exit 3
}

exec tornade-push
