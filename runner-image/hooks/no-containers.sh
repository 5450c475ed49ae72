#!/usr/bin/env bash
# Stands where the runner would start containers (ACTIONS_RUNNER_CONTAINER_HOOKS): Fargate has no Docker daemon, and
# "docker: command not found" would not say what to do.
# https://github.com/actions/runner/blob/main/docs/adrs/1891-container-hooks.md
set -u

# The command comes as JSON on standard input; there is nothing to clean up.
case $(head -c 1000) in
  *'"command":"cleanup_job"'* | *'"command": "cleanup_job"'*) exit 0 ;;
esac

echo '::error title=tornade::This runner is a Fargate task, which has no Docker: container:, services: and Docker actions do not work here. Add the label docker to runs-on, for example runs-on: [tornade, docker].'
exit 1
