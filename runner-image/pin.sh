#!/usr/bin/env bash
# Brings what build.sh has built, tested and pushed into use: the digest for Fargate as the next revision of the task
# definition FAMILY, made from DRAFT; the digest for CodeBuild as the parameter PARAMETER. Then both are tagged as in use.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${DRAFT:?}" "${FAMILY:?}" "${PARAMETER:?}"

fargate=$(<"$here/fargate.digest")
codebuild=$(<"$here/codebuild.digest")
for image in "$fargate" "$codebuild"; do
  [[ $image =~ @sha256:[0-9a-f]{64}$ ]] || { echo "pin.sh: '$image' is no digest" >&2; exit 1; }
done

# What describe answers and register does not take is left out: all but these.
definition=$(aws ecs describe-task-definition --task-definition "$DRAFT" --query taskDefinition --output json |
  jq --compact-output --exit-status --arg image "$fargate" --arg family "$FAMILY" '
    {family: $family, taskRoleArn, executionRoleArn, networkMode, volumes, placementConstraints,
     requiresCompatibilities, cpu, memory, runtimePlatform, ephemeralStorage,
     containerDefinitions: [.containerDefinitions[] | if .name == "runner" then .image = $image else . end]}
    | with_entries(select(.value != null))
    | if any(.containerDefinitions[]; .image == $image) then . else error("no container named runner") end')
revision=$(aws ecs register-task-definition --cli-input-json "$definition" \
  --query taskDefinition.taskDefinitionArn --output text)
echo "pin.sh: $revision runs $fargate"
aws ssm put-parameter --name "$PARAMETER" --type String --overwrite --value "$codebuild" >/dev/null
echo "pin.sh: $PARAMETER is $codebuild"

# A name that the lifecycle of the repository keeps; the push adds nothing but that.
for target in fargate codebuild; do
  image=$(<"$here/$target.digest")
  pinned=$(<"$here/$target.pinned")
  docker tag "$image" "$pinned"
  docker push --quiet "$pinned"
done
