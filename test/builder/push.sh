#!/usr/bin/env bash
# actions/build-push and actions/manifest as their steps run, into a registry on loopback: with the watcher and Debian's buildah in
# kaniko's place, as in build.sh. skopeo reads back what lies there.
#
# Wants root and Debian's packages, which build.sh installs. Ends with 77 where it cannot have them.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# shellcheck source=test/support/machine.sh
. "$root/test/support/machine.sh"
for tool in busybox docker-registry skopeo jq buildah; do
  command -v "$tool" >/dev/null || cannot "$tool is not installed: build.sh installs it"
done

work=$(mktemp --directory)
processes=()
clean_up() {
  rm -f "$work/beating"
  for pid in "${processes[@]}"; do
    kill "$pid" 2>/dev/null || :
    wait "$pid" 2>/dev/null || :
  done
  rm -rf --one-file-system "$work" || :
}
trap clean_up EXIT

# It lets nobody in but "builder", and what may push is a login that an earlier step has left.
password=canary-password
# shellcheck disable=SC2016
printf 'builder:$2b$05$abcdefghijklmnopqrstuuTvmw3qcMpAvEgQGhbFMhqjD3R/evDDW\n' >"$work/htpasswd"
registry registry "auth: { htpasswd: { realm: test, path: \"$work/htpasswd\" } }"
processes+=("$server")
registry=$address

mkdir "$work/docker" "$work/nothing"
printf '{"auths":{"%s":{"auth":"%s"}}}' "$registry" "$(printf 'builder:%s' "$password" | base64)" >"$work/docker/config.json"
export DOCKER_CONFIG=$work/docker REGISTRY_AUTH_FILE=$work/docker/config.json

exchange=$work/exchange
mkdir -p "$exchange/builds" "$work/own" "$work/bin" "$work/temp"
echo plain >"$exchange/verdict"
: >"$work/beating"
( while [[ -e $work/beating ]]; do date +%s%N >"$exchange/heartbeat"; sleep 1; done ) &
processes+=($!)
TORNADE_EXCHANGE_FOLDER=$exchange TORNADE_KANIKO_FOLDER=$work/own TORNADE_INIT='' TORNADE_SHELL='busybox sh' \
  TORNADE_KANIKO=$root/test/builder/kaniko-by-buildah busybox sh "$root/builder-image/watch" >"$work/watch.log" 2>&1 &
processes+=($!)
eventually 'the watcher does not obey' test -e "$exchange/obeyed"

"$node" --disable-warning=ExperimentalWarning "$root/scripts/tools.ts" "$work/image"
for tool in build push manifest; do
  printf '#!/bin/sh\nexec "%s" "%s/image/tools/%s.mjs" "$@"\n' "$node" "$work" "$tool" >"$work/bin/tornade-$tool"
  chmod +x "$work/bin/tornade-$tool"
done
export PATH=$work/bin:$PATH RUNNER_TEMP=$work/temp TORNADE_EXCHANGE_FOLDER=$exchange
export GITHUB_SERVER_URL=https://github.com GITHUB_REPOSITORY=acme/shop GITHUB_SHA=abc GITHUB_RUN_ID=5

name=
step() { # name of its notes, action, inputs
  local start action=$2
  name=$1
  shift 2
  start=$(date +%s%N)
  : >"$work/$name.output"
  env "$@" GITHUB_ACTION_PATH="$root/actions/$action" GITHUB_OUTPUT="$work/$name.output" \
    GITHUB_STEP_SUMMARY="$work/$name.md" bash -c "exec bash \"\$GITHUB_ACTION_PATH/$action.sh\"" >"$work/$name.log" 2>&1 &&
    code=0 || code=$?
  echo "push.sh: $name ended with $code after $((($(date +%s%N) - start) / 1000000)) ms"
}

output() { # name of the step, of the output
  sed --quiet "/^$2<</{n;p;q}" "$work/$1.output"
}

fail() {
  echo "push.sh: FAILED, $*"
  tail -n 15 "$work/$name.log" "$work/watch.log" 2>&1 || :
  exit 1
}

inspect() {
  skopeo inspect --tls-verify=false "$@"
}

# ------------------------------------------------------------------------------------------------------------ one image
mkdir -p "$work/context"
cp /bin/busybox "$work/context/busybox"
cat >"$work/context/Dockerfile" <<'DOCKERFILE'
FROM scratch
ARG GREETING=none
COPY busybox /bin/busybox
RUN --mount=type=secret,id=token ["/bin/busybox", "sh", "-c", "/bin/busybox wc -c </run/secrets/token >/length; echo $GREETING >/greeting"]
DOCKERFILE
secret=canary-$RANDOM-$RANDOM-secret
case $(uname -m) in aarch64) own=arm64 other=amd64 ;; *) own=amd64 other=arm64 ;; esac

step image build-push INPUT_CONTEXT="$work/context" INPUT_TAGS="$registry/team/shop:1-$own,$registry/team/shop:also" \
  INPUT_BUILD_ARGS='GREETING=two  words' INPUT_SECRETS="token=$secret" INPUT_LABELS='team=shop' \
  INPUT_EVENT=push INPUT_REF=refs/heads/main INPUT_DEFAULT_BRANCH=main
[[ $code = 0 ]] || fail 'the image was not built'
image=$(output image image)
[[ $image = "$registry/team/shop@$(inspect --format '{{.Digest}}' "docker://$registry/team/shop:1-$own")" ]] ||
  fail "the output image is $image"
labels=$(inspect --config "docker://$image" | jq --compact-output --sort-keys .config.Labels)
for label in '"org.opencontainers.image.revision":"abc"' '"org.opencontainers.image.source":"https://github.com/acme/shop"' \
  '"tornade.run":"https://github.com/acme/shop/actions/runs/5"' '"team":"shop"'; do
  [[ $labels = *"$label"* ]] || fail "the label $label is missing: $labels"
done
grep --quiet --fixed-strings "| digest | \`${image#*@}\` |" "$work/image.md" || fail 'the summary has no digest'
grep --quiet --extended-regexp '^\| size \| [0-9.]+ (kB|MB) \|$' "$work/image.md" || fail 'the summary has no size'
for kept in "$secret" "$password" "$(jq --raw-output '.auths[].auth' "$work/docker/config.json")"; do
  ! grep --recursive --quiet --text --fixed-strings -e "$kept" "$work"/image.* "$work/registry" "$work/temp" "$work/watch.log" "$exchange" ||
    fail 'a secret was left somewhere'
done
[[ -z $(ls -A "$work/temp") && -z $(ls -A "$exchange/builds") ]] || fail 'something was left behind'

# ------------------------------------------------------------------------------------------- one for another architecture
# What a job on such a runner would have pushed.
storage=(--root "$work/root" --runroot "$work/run" --storage-driver vfs)
printf 'FROM scratch\nCOPY busybox /bin/busybox\n' >"$work/other"
buildah "${storage[@]}" bud --quiet --arch "$other" --isolation chroot --file "$work/other" --tag other "$work/context" >"$work/other.log" 2>&1
buildah "${storage[@]}" push --tls-verify=false --digestfile "$work/other.digest" other "docker://$registry/team/shop:1-$other" >>"$work/other.log" 2>&1
second=$registry/team/shop@$(<"$work/other.digest")

step index manifest INPUT_IMAGES="$image"$'\n'"$second" INPUT_TAGS="$registry/team/shop:1"
[[ $code = 0 ]] || fail 'the index was not made'
[[ $(output index digest) = $(inspect --raw "docker://$registry/team/shop:1" | sha256sum | sed 's/\(.*\)  -/sha256:\1/') ]] ||
  fail 'the digest is not that of the index'
for arch in amd64 arm64; do
  there=$(skopeo --override-os linux --override-arch "$arch" inspect --tls-verify=false --format '{{.Architecture}} {{.Digest}}' "docker://$registry/team/shop:1")
  [[ $there = "$arch sha256:"* ]] || fail "for $arch there is $there"
done
[[ $(inspect --raw "docker://$registry/team/shop:1" | jq --raw-output '.manifests[].digest') = "${image#*@}"$'\n'"${second#*@}" ]] ||
  fail 'the index has other images'
step again manifest INPUT_IMAGES="$image"$'\n'"$second" INPUT_TAGS="$registry/team/shop:1"
[[ $code = 0 && $(output again digest) = "$(output index digest)" ]] || fail 'the same images make another index'

# --------------------------------------------------------------------------------------------------------- what is not
step two build-push INPUT_CONTEXT="$work/context" INPUT_TAGS="$registry/team/shop:2" INPUT_PLATFORMS='linux/amd64,linux/arm64'
{ [[ $code = 2 ]] && grep --quiet 'actions/manifest' "$work/two.log"; } || fail 'two platforms are not refused'
printf 'FROM scratch\nCOPY busybox /bin/busybox\n' >"$work/plain"
step stranger build-push INPUT_CONTEXT="$work/context" INPUT_FILE="$work/plain" INPUT_TAGS="$registry/team/shop:2" DOCKER_CONFIG="$work/nothing"
[[ $code = 1 && ! -s $work/stranger.output ]] || fail 'it pushed without a login'
step outsider manifest INPUT_IMAGES="$image" INPUT_TAGS="$registry/team/shop:2" DOCKER_CONFIG="$work/nothing"
{ [[ $code = 3 ]] && grep --quiet 'answers 401' "$work/outsider.log"; } || fail 'it does not say that it may not push'
printf 'FROM scratch\nCOPY nothing /\n' >"$work/absent"
step broken build-push INPUT_CONTEXT="$work/context" INPUT_FILE="$work/absent" INPUT_TAGS="$registry/team/shop:2"
[[ $code = 1 && ! -s $work/broken.output ]] || fail 'a build that fails did not end with 1'
echo 'push.sh: all of it held'
