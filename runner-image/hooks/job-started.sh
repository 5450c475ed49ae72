#!/usr/bin/env bash
# First step of every job (ACTIONS_RUNNER_HOOK_JOB_STARTED): waits for the guard's verdict. It says nothing about the
# job; the supervisor reads from the kernel what this process was started with.
# https://docs.github.com/en/actions/how-tos/manage-runners/self-hosted-runners/run-scripts
#
# It returns only when the job may run. Failing would not stop a job: steps with `if: always()` run after a failed hook
# and after a cancelled one, so neither a signal nor an error ends this script; the supervisor kills it.

trap '' INT TERM HUP

if curl --disable --noproxy '*' --silent --show-error --fail-with-body --max-time 120 \
  --unix-socket "${TORNADE_GUARD_SOCKET:-/run/tornade/guard.sock}" http://guard/verdict; then
  exit 0
fi

while :; do
  sleep 3600 || :
done
