#!/usr/bin/env bash
# Brings what build.sh has built, tested and pushed into use: the digest for Fargate as the next revision of the task
# definition FAMILY, made from DRAFT, and with that of the image builder as that of BUILD_FAMILY, made from BUILD_DRAFT; the
# digest for CodeBuild as the parameter PARAMETER, the release of the runner program as RUNNER_PARAMETER. Then all are tagged as
# in use. Where there is no new image builder BUILD_FAMILY stays as it is, and the build ends as failed, so that somebody looks.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${DRAFT:?}" "${FAMILY:?}" "${BUILD_DRAFT:?}" "${BUILD_FAMILY:?}" "${PARAMETER:?}" "${RUNNER_PARAMETER:?}"

fargate=$(<"$here/fargate.digest")
codebuild=$(<"$here/codebuild.digest")
builder=
[[ ! -f $here/builder.digest ]] || builder=$(<"$here/builder.digest")
for image in "$fargate" "$codebuild" ${builder:+"$builder"}; do
  [[ $image =~ @sha256:[0-9a-f]{64}$ ]] || { echo "pin.sh: '$image' is no digest" >&2; exit 1; }
done

# What describe answers and register does not take is left out: all but these.
definition_of() {
  aws ecs describe-task-definition --task-definition "$1" --query taskDefinition --output json |
    jq --compact-output --exit-status --arg family "$2" --argjson images "$3" '
      {family: $family, taskRoleArn, executionRoleArn, networkMode, volumes, placementConstraints,
       requiresCompatibilities, cpu, memory, runtimePlatform, ephemeralStorage,
       containerDefinitions: [.containerDefinitions[] | .image = ($images[.name] // error("no image for \(.name)"))]}
      | with_entries(select(.value != null))
      | if [.containerDefinitions[].name] | sort == ($images | keys) then .
        else error("no container for each of \($images | keys)") end'
}

images=$(jq --null-input --arg runner "$fargate" --arg builder "$builder" '{runner: $runner, builder: $builder}')
# Both first, so that one is not registered without the other.
definitions=("$(definition_of "$DRAFT" "$FAMILY" "$(jq 'del(.builder)' <<<"$images")")")
[[ -z $builder ]] || definitions+=("$(definition_of "$BUILD_DRAFT" "$BUILD_FAMILY" "$images")")
for input in "${definitions[@]}"; do
  revision=$(aws ecs register-task-definition --cli-input-json "$input" \
    --query taskDefinition.taskDefinitionArn --output text)
  echo "pin.sh: $revision is registered"
done
aws ssm put-parameter --name "$PARAMETER" --type String --overwrite --value "$codebuild" >/dev/null
echo "pin.sh: $PARAMETER is $codebuild"
aws ssm put-parameter --name "$RUNNER_PARAMETER" --type String --overwrite --value "$(<"$here/release")" >/dev/null

# A name that the lifecycle of the repository keeps; the push adds nothing but that.
for target in fargate codebuild ${builder:+builder}; do
  image=$(<"$here/$target.digest")
  pinned=$(<"$here/$target.pinned")
  docker tag "$image" "$pinned"
  docker push --quiet "$pinned"
done
if [[ -z $builder ]]; then
  echo "pin.sh: $BUILD_FAMILY stays as it is: there is no new image builder (see build.sh above)" >&2
  exit 1
fi
