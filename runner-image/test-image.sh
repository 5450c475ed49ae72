#!/usr/bin/env bash
# Builds both targets of the Dockerfile for real, checks them with self-check, and runs the Fargate one in containers
# with Docker's default capabilities. What cannot be had without the internet is replaced: the base image by a Debian
# that mmdebstrap makes, the runner program by the stand-in of the tests, AWS by test/runner-image/fake-aws.ts.
#
# Wants root and Debian's docker.io and mmdebstrap, which it installs. Ends with 77 where it cannot have them, which is
# no verdict on the image. The base is kept in TORNADE_IMAGE_CACHE, if that is set. It starts a Docker daemon of its own
# and ends it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tests=$here/../test/runner-image
version=2.999.0

# shellcheck source=test/support/machine.sh
. "$here/../test/support/machine.sh"
packages docker.io mmdebstrap curl

work=$(mktemp --directory)
daemon=
server=
clean_up() {
  for pid in $server $daemon; do
    kill "$pid" 2>/dev/null || :
    wait "$pid" 2>/dev/null || :
  done
  umount "$work"/exec/netns/* 2>/dev/null || :
  rm -rf --one-file-system "$work" || :
}
trap clean_up EXIT

# No bridge and no packet filter: neither is to be had in a container or a small virtual machine.
export DOCKER_HOST=unix://$work/docker.sock
# docker.io's own client, which fits its daemon, and the builder that needs nothing else.
docker=/usr/bin/docker
export DOCKER_BUILDKIT=0
dockerd --host "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" \
  --iptables=false --ip6tables=false --bridge=none >"$work/dockerd.log" 2>&1 &
daemon=$!

base=${TORNADE_IMAGE_CACHE:-$work}/base.tar
if [[ ! -f $base ]]; then
  echo 'test-image.sh: making the base'
  # shellcheck disable=SC1091,SC2016 # mmdebstrap replaces $1 itself
  mmdebstrap --quiet --format=tar --variant=minbase --include=ca-certificates,awscli \
    --customize-hook='mkdir -p "$1/usr/local/aws-cli/v2/current/bin"' \
    --customize-hook='ln -s /usr/bin/aws "$1/usr/local/aws-cli/v2/current/bin/aws"' \
    "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$base.part"
  mv "$base.part" "$base"
fi
for _ in {1..100}; do
  $docker version >/dev/null 2>&1 && break
  kill -0 "$daemon" 2>/dev/null || { tail -5 "$work/dockerd.log"; cannot 'the Docker daemon does not start'; }
  sleep 0.2
done
$docker import "$base" tornade-test-base >/dev/null

"$node" --disable-warning=ExperimentalWarning "$tests/image.ts" runner "$work/runner"
case $(dpkg --print-architecture) in
  amd64) arch=x64 target_arch=amd64 ;;
  arm64) arch=arm64 target_arch=arm64 ;;
  *) cannot 'it knows amd64 and arm64 only' ;;
esac
mkdir -p "$work/www/v$version"
tar -C "$work/runner" -czf "$work/www/v$version/actions-runner-linux-$arch-$version.tar.gz" .
sha256=$(sha256sum "$work/www/v$version"/*.tar.gz | cut -d ' ' -f 1)
"$node" -e '
  const { createReadStream } = require("node:fs")
  require("node:http").createServer((request, response) => {
    createReadStream(process.argv[1] + request.url).on("error", () => response.writeHead(404).end()).pipe(response)
  }).listen(0, "127.0.0.1", function () { require("node:fs").writeFileSync(process.argv[2], String(this.address().port)) })
' "$work/www" "$work/port" &
server=$!
eventually 'the downloads are not served' test -s "$work/port"

# As the bundle for the image builder has it (scripts/bundle.ts).
cp -r "$here" "$work/image"
rm -r "$work/image/tools"
"$node" --disable-warning=ExperimentalWarning "$here/../scripts/tools.ts" "$work/image"

build() {
  $docker build --network host --target "$1" --tag "tornade-test-$1" \
    --build-arg BASE=tornade-test-base --build-arg AWS_CLI=tornade-test-base --build-arg TARGETARCH=$target_arch \
    --build-arg RUNNER_DOWNLOADS="http://127.0.0.1:$(<"$work/port")" --build-arg RUNNER_VERSION=$version \
    --build-arg RUNNER_SHA256="${2:-$sha256}" --build-arg DOCKER_PACKAGES='docker.io iptables' "$work/image" \
    >"$work/build.log" 2>&1
}

if build download "${sha256//[0-9]/0}"; then
  echo 'test-image.sh: a runner program with a wrong checksum was built in'
  exit 1
fi
for target in fargate codebuild; do
  start=$SECONDS
  build "$target" || { tail -40 "$work/build.log"; exit 1; }
  echo "test-image.sh: built $target in $((SECONDS - start)) s"
  $docker run --rm --network host --entrypoint /opt/tornade/self-check "tornade-test-$target" "$target"
done
# The daemon of a job needs a file system that is no overlay.
$docker image inspect --format '{{json .Config.Volumes}}' tornade-test-codebuild | grep --fixed-strings '"/var/lib/docker"' ||
  { echo 'test-image.sh: /var/lib/docker is no volume'; exit 1; }
PATH=/usr/bin:$PATH "$node" --disable-warning=ExperimentalWarning "$tests/image.ts" run tornade-test-fargate
