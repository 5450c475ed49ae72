#!/usr/bin/env bash
# The inputs of action.yml as arguments of tornade-deploy. Each is one argument whatever it holds: nothing is evaluated.
set -euo pipefail

command -v tornade-deploy >/dev/null || {
  echo "tornade-deploy is not here: this step runs on a runner of tornade, so the job needs its labels in runs-on." >&2
  exit 3
}

arguments=()

# --NAME VALUE, where there is a value.
option() {
  [[ -z $2 ]] || arguments+=("--$1=$2")
}

# --NAME, where the input is true.
switch() {
  case $2 in
    true) arguments+=("--$1") ;;
    false | '') ;;
    *) printf 'The input %s is neither true nor false.\n' "$1" >&2; exit 2 ;;
  esac
}

# For each line: --NAME FIRST-WORD, and --DETAIL with what is left of the line.
each() {
  local name=$1 detail=$2 first rest
  while read -r first rest; do
    [[ -n $first ]] || continue
    arguments+=("--$name=$first")
    if [[ -n $rest ]]; then
      [[ -n $detail ]] || { printf 'A line of the input for --%s has more than one word.\n' "$name" >&2; exit 2; }
      arguments+=("--$detail=$rest")
    fi
  done <<<"$3"
}

option image "${INPUT_IMAGE:-}"
each values key "${INPUT_VALUES:-}"
each kustomize name "${INPUT_KUSTOMIZE:-}"
each manifest '' "${INPUT_MANIFESTS:-}"
option checkout "${INPUT_CHECKOUT:-}"
option branch "${INPUT_BRANCH:-}"
option message "${INPUT_MESSAGE:-}"
option server "${INPUT_SERVER:-}"
each app '' "${INPUT_APPLICATIONS:-}"
option project "${INPUT_PROJECT:-}"
switch sync "${INPUT_SYNC:-}"
option timeout "${INPUT_TIMEOUT:-}"
option grace "${INPUT_GRACE:-}"
switch rollback "${INPUT_ROLLBACK:-}"
option ca "${INPUT_CA:-}"
option environment "${INPUT_ENVIRONMENT:-}"
option environment-url "${INPUT_ENVIRONMENT_URL:-}"
option outputs "${GITHUB_OUTPUT:-}"
option summary "${GITHUB_STEP_SUMMARY:-}"

exec tornade-deploy "${arguments[@]}"
