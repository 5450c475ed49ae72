#!/usr/bin/env bash
# Builds images for real, through tornade-build, the exchange folder and the watcher, into a registry on loopback, and looks at
# what lies there; and goes from a push to a running application with the same builder (test/journey.test.ts). The builder is the
# image of builder-image/ with the kaniko at KANIKO (a static binary), run by Docker; without KANIKO the watcher runs here, and
# Debian's buildah stands in for kaniko: no image registry can be reached. With BUILDX (the plugin of Docker's client) it is Docker
# that builds, as on CodeBuild.
#
# Wants root and Debian's packages, which it installs. Ends with 77 where it cannot have them.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# shellcheck source=test/support/machine.sh
. "$root/test/support/machine.sh"
wanted=(busybox-static docker-registry skopeo jq)
if [[ -n ${KANIKO:-} ]]; then builder=kaniko; elif [[ -n ${BUILDX:-} ]]; then builder=docker; else builder=buildah; fi
case $builder in
  kaniko) wanted+=(docker.io tini) ;;
  docker) wanted+=(docker.io) ;;
  buildah) wanted+=(buildah) ;;
esac
packages "${wanted[@]}"

work=$(mktemp --directory)
processes=()
clean_up() {
  rm -f "$work/beating"
  [[ -z ${container:-} ]] || /usr/bin/docker rm --force "$container" >/dev/null 2>&1 || :
  for pid in "${processes[@]}"; do
    kill "$pid" 2>/dev/null || :
    wait "$pid" 2>/dev/null || :
  done
  umount "$work"/docker/exec/netns/* 2>/dev/null || :
  rm -rf --one-file-system "$work" || :
}
trap clean_up EXIT

# -------------------------------------------------------------------------------------------------------- three registries
# Nobody knows the password.
# shellcheck disable=SC2016
printf 'nobody:$2y$05$abcdefghijklmnopqrstuuu5Bs1Xk1Q0nq7q0rB9Yb2uYx1o8e6y\n' >"$work/htpasswd"
registry open ''
processes+=("$server")
open=$address
registry closed "auth: { htpasswd: { realm: test, path: \"$work/htpasswd\" } }"
processes+=("$server")
closed=$address
"$node" --disable-warning=ExperimentalWarning "$root/test/builder/immutable-tags.ts" "$open" >"$work/immutable.log" 2>&1 &
processes+=($!)
eventually 'the registry of immutable tags does not listen' test -s "$work/immutable.log"
immutable=$(<"$work/immutable.log")

# ------------------------------------------------------------------------------------------------------------ the builder
exchange=$work/exchange
mkdir -p "$exchange/builds" "$work/own"
echo plain >"$exchange/verdict"
: >"$work/beating"
( while [[ -e $work/beating ]]; do date +%s%N >"$exchange/heartbeat"; sleep 1; done ) &
processes+=($!)
start=$SECONDS
if [[ $builder != buildah ]]; then
  mkdir -p "$work/docker" "$work/base"
  export DOCKER_HOST=unix://$work/docker.sock DOCKER_BUILDKIT=0
  dockerd --host "$DOCKER_HOST" --data-root "$work/docker/data" --exec-root "$work/docker/exec" --pidfile "$work/docker/pid" \
    --iptables=false --ip6tables=false --bridge=none >"$work/dockerd.log" 2>&1 &
  processes+=($!)
  for _ in {1..150}; do
    /usr/bin/docker version >/dev/null 2>&1 && break
    kill -0 "${processes[-1]}" 2>/dev/null || { tail -5 "$work/dockerd.log"; cannot 'the Docker daemon does not start'; }
    sleep 0.2
  done
fi
if [[ $builder = kaniko ]]; then
  # As the debug variant of kaniko's image has it.
  cp "$KANIKO" "$work/base/executor"
  cp /bin/busybox "$work/base/busybox"
  cp /usr/bin/tini-static "$work/base/tini"
  printf 'FROM scratch\nCOPY busybox /busybox/busybox\nCOPY busybox /busybox/sh\nCOPY executor tini /kaniko/\nENV PATH=/kaniko:/busybox HOME=/root USER=root\nRUN ["/busybox/sh", "-c", "/busybox/busybox --install -s /busybox"]\n' >"$work/base/Dockerfile"
  /usr/bin/docker build --quiet --network host --tag kaniko-base "$work/base" >/dev/null
  /usr/bin/docker build --quiet --network host --tag builder --build-arg KANIKO=kaniko-base "$root/builder-image" >/dev/null
  /usr/bin/docker run --rm --network none --entrypoint /kaniko/bin/sh builder /kaniko/self-check
  container=$(/usr/bin/docker run --detach --network host --volume "$exchange:$exchange" \
    --env TORNADE_EXCHANGE_FOLDER="$exchange" \
    --env AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/canary builder)
elif [[ $builder = docker ]]; then
  # There is no bridge here for what RUN starts.
  mkdir -p "$work/bin" "$work/home/.docker/cli-plugins"
  cp "$BUILDX" "$work/home/.docker/cli-plugins/docker-buildx"
  cat >"$work/bin/docker" <<'SCRIPT'
#!/bin/sh
[ "$1 $2" = 'buildx build' ] && shift 2 && set -- buildx build --network host --allow network.host "$@"
exec /usr/bin/docker "$@"
SCRIPT
  chmod 755 "$work/bin/docker"
  export HOME=$work/home PATH=$work/bin:$PATH TORNADE_DOCKER_SOCKET=$work/docker.sock
  exchange=$work/none
  mkdir -p "$exchange"
  : >"$exchange/obeyed"
else
  # What stands in for kaniko and is killed cannot tidy up after itself.
  TORNADE_EXCHANGE_FOLDER=$exchange TORNADE_KANIKO_FOLDER=$work/own TORNADE_INIT='' TORNADE_SHELL='busybox sh' TMPDIR=$work \
    TORNADE_KANIKO=$root/test/builder/kaniko-by-buildah busybox sh "$root/builder-image/watch" >"$work/watch.log" 2>&1 &
  processes+=($!)
fi
eventually 'the builder does not obey' test -e "$exchange/obeyed"
echo "build.sh: the builder is up after $((SECONDS - start)) s"

"$node" --disable-warning=ExperimentalWarning "$root/scripts/tools.ts" "$work/image"
name=
build() { # name of its notes, options
  local start
  name=$1
  start=$(date +%s%N)
  shift
  TORNADE_EXCHANGE_FOLDER=$exchange "$node" "$work/image/tools/build.mjs" --metadata-file "$work/$name.json" "$@" \
    >"$work/$name.out" 2>"$work/$name.log" && code=0 || code=$?
  echo "build.sh: $name ended with $code after $((($(date +%s%N) - start) / 1000000)) ms"
}

fail() {
  echo "build.sh: FAILED, $*"
  tail -n 15 "$work/$name.log" "$work/watch.log" 2>&1 || :
  exit 1
}

left_behind() {
  [[ $builder = docker || -z $(ls -A "$exchange/builds") ]]
}

# ------------------------------------------------------------------------------------------------------------ what is built
context=$work/context
mkdir -p "$context/kept" "$context/left"
cp /bin/busybox "$context/busybox"
echo kept >"$context/kept/file"
echo left >"$context/left/file"
ln -s /etc/passwd "$context/kept/link"
echo left >"$context/.dockerignore"
cat >"$context/Dockerfile" <<'DOCKERFILE'
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
FROM base AS final
ARG GREETING=none
COPY . /app
RUN --mount=type=secret,id=token printf '%s' "$GREETING" >/greeting && wc -c </run/secrets/token >/length
RUN ["/bin/busybox", "rm", "/app/busybox"]
DOCKERFILE
greeting=$'two  words, "quotes", \'more\', $HOME, back\\slash'
secret=canary-$RANDOM-$RANDOM-secret
export BUILD_TOKEN=$secret

build image --context "$context" --tag "$open/team/app:1" --tag "$open/team/app:2" --build-arg "GREETING=$greeting" \
  --secret id=token,env=BUILD_TOKEN --label org.opencontainers.image.revision=abc --target final
[[ $code = 0 ]] || fail 'the image was not built'
digest=$(<"$work/image.out")
for tag in 1 2; do
  there=$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$open/team/app:$tag")
  [[ $there = "$digest" ]] || fail "tag $tag is $there, not $digest"
done
[[ $(jq --raw-output '.digest, .images[0]' "$work/image.json") = "$digest"$'\n'"$open/team/app@$digest" ]] || fail 'the metadata are wrong'
(($(jq .size "$work/image.json") > 100000)) || fail 'the size is missing'

# Fetches an image as it is stored, its layers unpacked; says whether the secret is in any of it.
leaks() { # image, folder
  local layer found=1
  skopeo copy --quiet --src-tls-verify=false "docker://$1" "dir:$2" || fail "there is no $1"
  mkdir "$2/files"
  while read -r layer; do
    gunzip --to-stdout "$2/$layer" >"$2/layer.tar" || fail "a layer of $1 cannot be read"
    ! grep --quiet --text --fixed-strings "$secret" "$2/layer.tar" || found=0
    tar --extract --file "$2/layer.tar" --directory "$2/files" --exclude '.wh.*' --exclude 'dev/*'
  done < <(jq --raw-output '.layers[].digest' "$2/manifest.json" | cut -d : -f 2)
  ! grep --quiet --fixed-strings "$secret" "$2/manifest.json" "$2/$(jq --raw-output .config.digest "$2/manifest.json" | cut -d : -f 2)" || found=0
  return "$found"
}
# Where a Dockerfile keeps it, it is found: by the same look that finds none.
printf 'FROM scratch\nCOPY busybox /bin/busybox\nRUN --mount=type=secret,id=token ["/bin/busybox", "cp", "/run/secrets/token", "/kept"]\n' >"$work/leaking"
build leaking --context "$context" --file "$work/leaking" --tag "$open/team/leaking:1" --secret id=token,env=BUILD_TOKEN
leaks "$open/team/leaking:1" "$work/leaked" || fail 'a secret that is kept is not found'
name=image
! leaks "$open/team/app:1" "$work/got" || fail 'the secret is in a layer, the configuration or the history'
mv "$work/got/files" "$work/files"
config=$work/got/$(jq --raw-output .config.digest "$work/got/manifest.json" | cut -d : -f 2)
! grep --quiet --fixed-strings "$secret" "$work/image.log" "$work/image.json" || fail 'the secret is in the log'
[[ $(<"$work/files/greeting") = "$greeting" ]] || fail "the build argument arrived as $(<"$work/files/greeting")"
[[ $(<"$work/files/length") = "${#secret}" ]] || fail 'the secret did not arrive'
[[ -e $work/files/app/kept/file && ! -e $work/files/app/left ]] || fail '.dockerignore did not hold'
[[ -L $work/files/app/kept/link ]] || fail 'a link was followed'
[[ $(stat --format %u "$work/files/app/kept/file") = 0 ]] || fail 'a file is not of root'
[[ $(jq --raw-output '.config.Labels["org.opencontainers.image.revision"]' "$config") = abc ]] || fail 'the label is missing'
left_behind || fail 'something was left behind'

build cached --context "$context" --tag "$open/team/app:3" --build-arg "GREETING=$greeting" --secret id=token,env=BUILD_TOKEN \
  --cache-repo "$open/team/cache"
[[ $code = 0 ]] || fail 'it was not built with a cache'
[[ $builder != docker ]] || docker buildx prune --all --force >"$work/pruned" 2>&1
build cached-again --context "$context" --tag "$open/team/app:4" --build-arg "GREETING=$greeting" \
  --secret id=token,env=BUILD_TOKEN --cache-repo "$open/team/cache" --cache-read-only
[[ $code = 0 ]] || fail 'it was not built from a cache'
echo "build.sh: cache $(jq --compact-output .cache "$work/cached.json"), then $(jq --compact-output .cache "$work/cached-again.json")"
if [[ $builder != buildah ]]; then
  (($(jq .cache.hits "$work/cached-again.json") > 0)) || fail 'the cache was not used'
fi
if [[ $builder = kaniko ]]; then
  build zstd --context "$context" --tag "$open/team/app:zstd" --build-arg "GREETING=$greeting" \
    --secret id=token,env=BUILD_TOKEN --compression zstd
  [[ $code = 0 ]] || fail 'it was not built with zstd'
  skopeo inspect --raw --tls-verify=false "docker://$open/team/app:zstd" | grep --quiet 'tar+zstd' || fail 'no layer is zstd'
  # What docs/builders.md says that kaniko takes.
  printf 'FROM scratch\nCOPY --link busybox /bin/busybox\nRUN --mount=type=bind,source=.,target=/src --mount=type=cache,target=/kept ["/bin/busybox", "cp", "/src/kept/file", "/kept/file"]\nCOPY <<END /said\nwords\nEND\n' >"$work/forms"
  build forms --context "$context" --file "$work/forms" --tag "$open/team/app:forms"
  [[ $code = 0 ]] || fail 'kaniko does not take what the documentation says'
  # The watcher was started with the address of credentials, and nothing that is built finds it.
  printf 'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "sh", "-c", "cat /proc/[0-9]*/environ >/all; /bin/busybox grep -c canary /all; test $? = 1"]\n' >"$work/peek"
  build peek --context "$context" --file "$work/peek" --tag "$open/team/app:peek"
  [[ $code = 0 ]] || fail 'what is built finds the address of credentials'
fi

# ----------------------------------------------------------------------------------------------------------- what is not
printf 'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "false"]\n' >"$work/broken"
build broken --context "$context" --file "$work/broken" --tag "$open/team/app:5"
[[ $code = 1 && ! -s $work/broken.out ]] || fail 'a build that fails did not end with 1'
grep --quiet 'tornade-build: failed: .' "$work/broken.log" || fail 'it does not say why'
printf 'FROM scratch\nCOPY nothing /\n' >"$work/absent"
build absent --context "$context" --file "$work/absent" --tag "$open/team/app:5"
{ [[ $code = 1 ]] && grep --quiet 'tornade-build: failed: .*nothing' "$work/absent.log"; } || fail 'it does not say which file is missing'
printf 'FROM scratch\nCOPY busybox /bin/busybox\n' >"$work/plain"
build denied --context "$context" --file "$work/plain" --tag "$closed/team/app:1"
{ [[ $code = 1 ]] && grep --quiet --ignore-case 'tornade-build: failed: .*\(unauthorized\|authentication\|denied\|basic auth\)' "$work/denied.log"; } ||
  fail 'it does not say that it may not push'
# A tag that exists and cannot be moved: what is built is never taken for what stands there.
build first --context "$context" --file "$work/plain" --tag "$immutable/team/fixed:1" --label build=1
[[ $code = 0 ]] || fail 'it was not pushed under a new tag'
build second --context "$context" --file "$work/plain" --tag "$immutable/team/fixed:1" --tag "$immutable/team/fixed:2" --label build=2
[[ $code = 1 && ! -s $work/second.out ]] || fail 'a tag that cannot be moved did not end with 1'
grep --quiet 'tornade-build: failed: .*immutable' "$work/second.log" || fail 'it does not say that the tag is immutable'
of() { skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$immutable/team/fixed:$1"; }
[[ $(of 1) = "$(<"$work/first.out")" ]] || fail 'the tag was moved'
[[ $builder != kaniko ]] || grep --quiet "is immutable and is $(of 1), not this image, $(of 2)" "$work/second.log" ||
  fail 'it does not say what the tag is, or the other tag was not pushed'
build none --context "$context" --file "$context/Nofile" --tag "$open/team/app:5"
[[ $code = 2 ]] || fail 'a missing Dockerfile did not end with 2'

printf 'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "sh", "-c", "echo it sleeps; exec /bin/busybox sleep 7777"]\n' >"$work/slow"
export TORNADE_EXCHANGE_FOLDER=$exchange
: >"$work/slow.log"
"$node" "$work/image/tools/build.mjs" --context "$context" --file "$work/slow" --tag "$open/team/app:6" \
  --secret id=token,env=BUILD_TOKEN >"$work/slow.out" 2>"$work/slow.log" &
slow=$!
eventually 'the slow build does not begin' grep --quiet 'it sleeps$' "$work/slow.log"
start=$(date +%s%N)
kill -TERM "$slow"
wait "$slow" && code=0 || code=$?
took=$((($(date +%s%N) - start) / 1000000))
[[ $code = 4 ]] || fail "a cancelled build ended with $code"
((took < 30000)) || fail "it took $took ms to cancel"
left_behind || fail 'the cancelled build left something behind'
! pgrep --full --exact '/bin/busybox sleep 7777' >/dev/null || fail 'what it ran is still running'
echo "build.sh: cancelled within $took ms"
build after --context "$context" --tag "$open/team/app:7" --build-arg "GREETING=$greeting" --secret id=token,env=BUILD_TOKEN
[[ $code = 0 ]] || fail 'nothing can be built after a cancelled build'

# With LARGE: 2 GB that nothing compresses, in a context of which little is taken, and all; and what memory that takes.
if [[ -n ${LARGE:-} ]]; then
  mkdir "$work/large"
  cp /bin/busybox "$work/large/busybox"
  head --bytes 2147483648 /dev/urandom >"$work/large/big"
  cp "$work/plain" "$work/large/part"
  printf 'FROM scratch\nCOPY . /\n' >"$work/large/whole"
  for name in part whole; do
    start=$(date +%s%N)
    "$node" "$work/image/tools/build.mjs" --context "$work/large" --file "$work/large/$name" --tag "$open/team/large:$name" \
      >"$work/$name.out" 2>"$work/$name.log" &
    tool=$!
    most_tool=0 most_builder=0
    peak() { awk '/^VmHWM/ { print $2 }' "/proc/$1/status" 2>/dev/null || :; }
    while kill -0 "$tool" 2>/dev/null; do
      most=$(peak "$tool")
      ((${most:-0} <= most_tool)) || most_tool=$most
      for pid in $(pgrep --full 'executor|buildah|docker-buildx' || :); do
        most=$(peak "$pid")
        ((${most:-0} <= most_builder)) || most_builder=$most
      done
      sleep 0.2
    done
    wait "$tool" || fail "a context of 2 GB ($name) was not built"
    echo "build.sh: 2 GB, $name of it, in $((($(date +%s%N) - start) / 1000000)) ms; at most $((most_tool / 1024)) MB for tornade-build, $((most_builder / 1024)) MB for the builder"
    ((most_tool < 300 * 1024)) || fail 'tornade-build took memory for the context'
    [[ $builder != kaniko ]] || ((most_builder < 1024 * 1024)) || fail 'kaniko took memory for the context'
    left_behind || fail 'something was left behind'
  done
fi

# ------------------------------------------------------------------------------- from a push to a running application, with it
[[ $builder != docker ]] || { echo 'build.sh: all of it held, with Docker'; exit; }
name=journey
if [[ $builder = kaniko ]]; then
  export JOURNEY_BUILDER=$work/beside
  cat >"$JOURNEY_BUILDER" <<'SCRIPT'
#!/bin/sh
exec /usr/bin/docker run --rm --network host --volume "$TORNADE_EXCHANGE_FOLDER:$TORNADE_EXCHANGE_FOLDER" \
  --env TORNADE_EXCHANGE_FOLDER --env AWS_CONTAINER_CREDENTIALS_RELATIVE_URI builder
SCRIPT
  chmod 755 "$JOURNEY_BUILDER"
fi
start=$(date +%s%N)
(cd "$root" && PATH=$(dirname "$node"):$PATH JOURNEY=real NO_COLOR=1 "$node" node_modules/vitest/vitest.mjs run test/journey.test.ts) \
  >"$work/journey.log" 2>&1 || fail 'a push did not become a running application'
echo "build.sh: $(grep --only-matching 'journey.test.ts: images by.*' "$work/journey.log")"
echo "build.sh: from a push to a running application in $((($(date +%s%N) - start) / 1000000)) ms"
echo "build.sh: all of it held, with ${KANIKO:-buildah}"
