/**
 * Lengths, ranges and patterns of requests, from the API references: the SDK's schemas have names and types alone.
 * https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
 * https://docs.aws.amazon.com/codebuild/latest/APIReference/API_StartBuild.html
 * https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
 * https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
 */
import {
  ComputeType,
  EnvironmentType,
  EnvironmentVariableType,
  ImagePullCredentialsType,
  SortOrderType,
  SourceType,
} from '@aws-sdk/client-codebuild'
import { AssignPublicIp, DesiredStatus, LaunchType, PropagateTags, TaskField } from '@aws-sdk/client-ecs'

/** Why a value will not do; null when it will. */
type Rule = (value: never) => string | null

const text =
  (least: number, most: number, pattern = /^/): Rule =>
  (value: string) => {
    if (value.length < least || value.length > most)
      return `has ${value.length} characters, not ${least}–${most}`
    return pattern.test(value) ? null : `does not match ${pattern}`
  }
const integer =
  (least: number, most: number): Rule =>
  (value: number) =>
    Number.isInteger(value) && value >= least && value <= most ? null : `is ${value}, not ${least}–${most}`
const list =
  (least: number, most: number): Rule =>
  (value: readonly unknown[]) =>
    value.length >= least && value.length <= most ? null : `has ${value.length} items, not ${least}–${most}`
const oneOf =
  (values: Readonly<Record<string, string>>): Rule =>
  (value: string) =>
    Object.values(values).includes(value) ? null : `is ${value}, not one of ${Object.values(values)}`
const json =
  (most: number): Rule =>
  (value: unknown) =>
    JSON.stringify(value).length <= most ? null : `is longer than ${most} characters`

const ROLE_ARN = text(20, 2048, /^arn:[\w-]+:iam::\d{12}:role\/[\w+=,.@/-]+$/)
const NAME = text(1, 255)
const ARN_OR_NAME = text(1, 2048)

/** By operation and path; `[]` stands for every item. */
export const LIMITS: Readonly<Record<string, Readonly<Record<string, Rule>>>> = {
  RunTask: {
    cluster: ARN_OR_NAME,
    taskDefinition: ARN_OR_NAME,
    count: integer(1, 10),
    startedBy: text(1, 128, /^[A-Za-z0-9\-/_]+$/),
    clientToken: text(1, 64, /^[\x21-\x7e]+$/),
    launchType: oneOf(LaunchType),
    propagateTags: oneOf(PropagateTags),
    capacityProviderStrategy: list(1, 20),
    'capacityProviderStrategy[].weight': integer(0, 1000),
    'capacityProviderStrategy[].base': integer(0, 100_000),
    'networkConfiguration.awsvpcConfiguration.subnets': list(1, 16),
    'networkConfiguration.awsvpcConfiguration.subnets[]': text(1, 255, /^subnet-[0-9a-f]+$/),
    'networkConfiguration.awsvpcConfiguration.securityGroups': list(0, 5),
    'networkConfiguration.awsvpcConfiguration.securityGroups[]': text(1, 255, /^sg-[0-9a-f]+$/),
    'networkConfiguration.awsvpcConfiguration.assignPublicIp': oneOf(AssignPublicIp),
    overrides: json(8192),
    'overrides.cpu': text(1, 10, /^\d+$/),
    'overrides.memory': text(1, 10, /^\d+$/),
    'overrides.ephemeralStorage.sizeInGiB': integer(21, 200),
    'overrides.taskRoleArn': ROLE_ARN,
    'overrides.executionRoleArn': ROLE_ARN,
    'overrides.containerOverrides[].environment[].name': NAME,
    tags: list(0, 50),
    'tags[].key': text(1, 128, /^(?!aws:)[\p{L}\p{Z}\p{N}_.:/=+\-@]+$/iu),
    'tags[].value': text(0, 256, /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u),
  },
  StopTask: { cluster: ARN_OR_NAME, task: ARN_OR_NAME, reason: text(1, 255) },
  DescribeTasks: { cluster: ARN_OR_NAME, tasks: list(1, 100), 'include[]': oneOf(TaskField) },
  ListTasks: {
    cluster: ARN_OR_NAME,
    startedBy: text(1, 128),
    desiredStatus: oneOf(DesiredStatus),
    maxResults: integer(1, 100),
  },
  StartBuild: {
    projectName: text(1, 255, /^[A-Za-z0-9][A-Za-z0-9\-_]+$/),
    // No length is documented; this is what is known to work.
    idempotencyToken: text(1, 64),
    environmentTypeOverride: oneOf(EnvironmentType),
    computeTypeOverride: oneOf(ComputeType),
    sourceTypeOverride: oneOf(SourceType),
    imagePullCredentialsTypeOverride: oneOf(ImagePullCredentialsType),
    imageOverride: text(1, 2048),
    serviceRoleOverride: ROLE_ARN,
    buildspecOverride: text(1, 51_200),
    timeoutInMinutesOverride: integer(5, 2160),
    queuedTimeoutInMinutesOverride: integer(5, 480),
    'environmentVariablesOverride[].name': text(1, 255, /^[A-Za-z_]\w*$/),
    'environmentVariablesOverride[].type': oneOf(EnvironmentVariableType),
  },
  StopBuild: { id: text(1, 255, /^[\w-]+:[0-9a-f-]{36}$/) },
  BatchGetBuilds: { ids: list(1, 100), 'ids[]': text(1, 255, /^[\w-]+:[0-9a-f-]{36}$/) },
  ListBuildsForProject: { projectName: text(1, 255), sortOrder: oneOf(SortOrderType) },
  GetParameter: { Name: text(1, 2048, /^[\w./:-]+$/) },
  GetParameters: { Names: list(1, 10), 'Names[]': text(1, 2048, /^[\w./:-]+$/) },
  GetLogEvents: {
    logGroupName: text(1, 512, /^[\w./#-]+$/),
    logStreamName: text(1, 512, /^[^:*]+$/),
    limit: integer(1, 10_000),
  },
}

export function limitFaults(operation: string, input: unknown): string[] {
  return Object.entries(LIMITS[operation] ?? {}).flatMap(([path, rule]) =>
    at(input, path.replaceAll('[]', '.[]').split('.')).flatMap(value => {
      const fault = rule(value as never)
      return fault === null ? [] : [`${path} ${fault}`]
    }),
  )
}

function at(value: unknown, [step, ...rest]: readonly string[]): unknown[] {
  if (value === undefined || value === null) return []
  if (step === undefined) return [value]
  if (step === '[]') return (value as unknown[]).flatMap(item => at(item, rest))
  return at((value as Record<string, unknown>)[step], rest)
}
