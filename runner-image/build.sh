#!/usr/bin/env bash
# Builds the images of one architecture (x64 or arm64), of runners with the newest runner program and of the image builder,
# tests them, and pushes what is good: nothing without both of the runners', which are not kept from their weekly image by a
# builder that comes from somebody else's registry. pin.sh then brings them into use. Runs in CodeBuild, weekly and after each deployment
# (infra/images.yml); wants Docker, jq, curl, and to be logged in to the registry.
#
#     REPOSITORY=…dkr.ecr…/tornade-prod-runner build.sh x64
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

arch=${1:?x64 or arm64}
: "${REPOSITORY:?}"
case $arch in
  x64) target_arch=amd64 ;;
  arm64) target_arch=arm64 ;;
  *) echo "build.sh: '$arch' is neither x64 nor arm64" >&2; exit 2 ;;
esac

# What an earlier build left must not be pinned in place of a failed one.
rm -f "$here"/{fargate,codebuild,builder}.{digest,pinned}

# No login: 60 calls an hour and address, and this address is one of CodeBuild's, which many have. So it waits twice as long
# before each retry, up to 8 minutes in all. Only the API says checksums.
# https://docs.github.com/en/rest/releases/releases#get-the-latest-release
release=$(curl --fail --silent --show-error --location --retry "${GITHUB_RETRIES:-8}" --retry-all-errors --retry-max-time 480 \
  --header 'Accept: application/vnd.github+json' --header 'X-GitHub-Api-Version: 2022-11-28' \
  "${GITHUB_API:-https://api.github.com}/repos/actions/runner/releases/latest") || {
  echo "build.sh: GitHub does not tell its newest release, perhaps because this address has used up its 60 calls an hour (403, 429)." \
    'Start this build again in an hour; runners keep the last good image.' >&2
  exit 1
}
version=$(jq --raw-output '.tag_name | ltrimstr("v")' <<<"$release")
file=actions-runner-linux-$arch-$version.tar.gz
# The checksum that GitHub computes for an asset, and the one that the release notes give between markers.
digest=$(jq --raw-output --arg name "$file" '.assets[]? | select(.name == $name) | .digest // "" | ltrimstr("sha256:")' <<<"$release")
noted=$(jq --raw-output --arg arch "$arch" \
  '.body // "" | capture("<!-- BEGIN SHA linux-\($arch) -->(?<sha>[0-9a-f]{64})<!-- END SHA linux-\($arch) -->").sha // ""' <<<"$release")
sha256=${digest:-$noted}
if [[ ! $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ || ! $sha256 =~ ^[0-9a-f]{64}$ ]]; then
  echo "build.sh: the newest release ('$version') names no checksum of $file" >&2
  exit 1
fi
if [[ -n $noted && $noted != "$sha256" ]]; then
  echo "build.sh: release notes and asset disagree about the checksum of $file" >&2
  exit 1
fi
echo "build.sh: actions/runner $version, $arch, sha256 $sha256"
# For the dashboard: jobs stop some time after the release that follows.
jq --raw-output '"\(.tag_name | ltrimstr("v")) \(.published_at // "")"' <<<"$release" >"$here/release"

# Tags are immutable, so each build has its own; they are for people, everything else goes by digest.
stamp=$version-$(date --utc +%Y%m%d%H%M%S)
tag_of() {
  printf '%s:%s-%s-%s' "$REPOSITORY" "$1" "$arch" "$stamp"
}

for target in fargate codebuild; do
  docker build --pull --target "$target" --tag "$(tag_of "$target")" \
    --build-arg TARGETARCH=$target_arch --build-arg RUNNER_VERSION="$version" --build-arg RUNNER_SHA256="$sha256" \
    "$here"
  docker run --rm --network none --entrypoint /opt/tornade/self-check "$(tag_of "$target")" "$target"
done
good=(fargate codebuild)
if docker build --pull --tag "$(tag_of builder)" "$here/../builder-image" &&
  docker run --rm --network none --entrypoint /kaniko/bin/sh "$(tag_of builder)" /kaniko/self-check; then
  good+=(builder)
else
  echo 'build.sh: the image builder could not be built, or failed its test; the images of runners go on without it' >&2
fi
for target in "${good[@]}"; do
  tag=$(tag_of "$target")
  docker push --quiet "$tag"
  docker image inspect "$tag" | jq --exit-status --raw-output --arg repository "$REPOSITORY" \
    '[.[0].RepoDigests[] | select(startswith($repository + "@sha256:"))] | first // error("no digest after the push")' \
    >"$here/$target.digest"
  # By this name it is kept once it is in use (infra/images.yml).
  printf '%s:pinned-%s' "$REPOSITORY" "${tag##*:}" >"$here/$target.pinned"
  echo "build.sh: pushed $tag as $(<"$here/$target.digest")"
done
