/** What can go wrong with ECS, CodeBuild, SSM and CloudWatch Logs, by name, in the words that AWS uses. */

export interface Exception {
  readonly name: string
  readonly message: string
  readonly status?: number
  readonly members?: Readonly<Record<string, unknown>>
}

export type Effect =
  | { readonly kind: 'exception'; readonly exception: Exception }
  /** RunTask alone: an answer of 200 that started nothing. */
  | { readonly kind: 'failures'; readonly reason: string; readonly detail?: string }
  /** The connection ends without an answer: before anything was done, or after all of it. */
  | { readonly kind: 'lost'; readonly when: 'before' | 'after' }
  /** No answer at all; the work is done. */
  | { readonly kind: 'silence' }
  /** The work is done; the answer says 500. */
  | { readonly kind: 'done-but-500' }

export interface Fault {
  readonly operation: string
  readonly effect: Effect
}

const failures = (reason: string, detail?: string): Fault => ({
  operation: 'RunTask',
  effect: { kind: 'failures', reason, ...(detail ? { detail } : {}) },
})
const exception = (operation: string, name: string, message: string, status = 400): Fault => ({
  operation,
  effect: { kind: 'exception', exception: { name, message, status } },
})
const outages = (operation: string) => ({
  [`${operation}: lost before`]: { operation, effect: { kind: 'lost', when: 'before' } },
  [`${operation}: lost after`]: { operation, effect: { kind: 'lost', when: 'after' } },
  [`${operation}: silence`]: { operation, effect: { kind: 'silence' } },
  [`${operation}: 500 after`]: { operation, effect: { kind: 'done-but-500' } },
  [`${operation}: throttled`]: exception(operation, 'ThrottlingException', 'Rate exceeded'),
})

/**
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
 * https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html
 */
const ECS = {
  'no capacity': failures(
    'Capacity is unavailable at this time. Please try again later or in a different availability zone',
  ),
  'vcpu quota': failures('You’ve reached the limit on the number of vCPUs you can run concurrently'),
  'task quota': failures('You’ve reached the limit on the number of tasks you can run concurrently'),
  'cpu above limit': failures('The requested CPU configuration is above your limit'),
  'memory above limit': failures('The requested MEMORY configuration is above your limit'),
  'RESOURCE:CPU': failures('RESOURCE:CPU'),
  'RESOURCE:MEMORY': failures('RESOURCE:MEMORY'),
  'RESOURCE:ENI': failures('RESOURCE:ENI'),
  AGENT: failures('AGENT'),
  'internal error': failures('Internal error.'),
  'unheard of': failures('ATTRIBUTE', 'the task needs what nothing has'),
  'no service-linked role': exception(
    'RunTask',
    'InvalidParameterException',
    'Unable to assume the service linked role. Please verify that the ECS service linked role exists.',
  ),
  'security group look-up throttled': exception(
    'RunTask',
    'InvalidParameterException',
    'Error retrieving security group information for [sg-0123]: Request limit exceeded. (ErrorCode: RequestLimitExceeded)',
  ),
  'role not to be assumed': exception(
    'RunTask',
    'ClientException',
    "ECS was unable to assume the role 'arn:aws:iam::123456789012:role/x' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role.",
  ),
  'role not to be passed': exception(
    'RunTask',
    'AccessDeniedException',
    'User: arn:aws:sts::123456789012:assumed-role/launch/launch is not authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/x because no identity-based policy allows the iam:PassRole action',
  ),
  blocked: exception(
    'RunTask',
    'BlockedException',
    'Your Amazon Web Services account was blocked. For more information, contact Support.',
  ),
  'client error': exception('RunTask', 'ClientException', 'TaskDefinition is inactive'),
  'no cluster': exception('RunTask', 'ClusterNotFoundException', 'Cluster not found.'),
  'platform incompatible': exception(
    'RunTask',
    'PlatformTaskDefinitionIncompatibilityException',
    'The specified platform version does not satisfy the required capabilities of the task definition.',
  ),
  'platform unknown': exception(
    'RunTask',
    'PlatformUnknownException',
    'The specified platform version does not exist.',
  ),
  unsupported: exception(
    'RunTask',
    'UnsupportedFeatureException',
    'The specified task is not supported in this Region.',
  ),
  'server error': exception(
    'RunTask',
    'ServerException',
    'Service Unavailable. Please try again later.',
    500,
  ),
  'expired credentials': exception(
    'RunTask',
    'ExpiredTokenException',
    'The security token included in the request is expired',
  ),
} as const satisfies Record<string, Fault>

const CODEBUILD = {
  'build queue full': exception(
    'StartBuild',
    'AccountLimitExceededException',
    'Cannot have more than 60 builds in queue for the account',
  ),
  'no builds allowed': exception(
    'StartBuild',
    'AccountLimitExceededException',
    'Cannot have more than 0 builds in queue for the account',
  ),
  'invalid build input': exception(
    'StartBuild',
    'InvalidInputException',
    'Invalid input: image is not valid',
  ),
  'build variable too long': exception(
    'StartBuild',
    'InvalidInputException',
    'EnvironmentVariable should be at most 4096 characters',
  ),
  'service role not to be assumed': exception(
    'StartBuild',
    'InvalidInputException',
    'CodeBuild is not authorized to perform: sts:AssumeRole on service role. Please verify that: 1) The provided service role exists, 2) The role name is case-sensitive and matches exactly, and 3) The role has the necessary trust policy configured.',
  ),
  'service role not to be passed': exception(
    'StartBuild',
    'AccessDeniedException',
    'User: arn:aws:sts::123456789012:assumed-role/launch/launch is not authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/x',
  ),
  'no project': exception(
    'StartBuild',
    'ResourceNotFoundException',
    'Project cannot be found: arn:aws:codebuild:x',
  ),
  'build server error': exception('StartBuild', 'InternalServerError', 'Internal Server Error', 500),
} as const satisfies Record<string, Fault>

const SSM = {
  'parameters denied': exception(
    'GetParameters',
    'AccessDeniedException',
    'User: arn:aws:sts::123456789012:assumed-role/webhook/webhook is not authorized to perform: ssm:GetParameters on resource: arn:aws:ssm:us-east-1:123456789012:parameter/tornade',
  ),
  'parameters server error': exception('GetParameters', 'InternalServerError', 'An error occurred.', 500),
  'wrong signature': exception(
    'GetParameters',
    'InvalidSignatureException',
    "The request signature we calculated does not match the signature you provided. The Canonical String for this request should have been 'POST x-amz-security-token:canary-session-token'",
  ),
} as const satisfies Record<string, Fault>

const LOGS = {
  'logs denied': exception(
    'GetLogEvents',
    'AccessDeniedException',
    'User: arn:aws:sts::123456789012:assumed-role/lifecycle/lifecycle is not authorized to perform: logs:GetLogEvents on resource: arn:aws:logs:us-east-1:123456789012:log-group:/tornade/test/runners:log-stream:x',
  ),
  'logs unavailable': exception('GetLogEvents', 'ServiceUnavailableException', 'unavailable', 500),
} as const satisfies Record<string, Fault>

type Outage<Operation extends string> =
  `${Operation}: ${'lost before' | 'lost after' | 'silence' | '500 after' | 'throttled'}`
const OPERATIONS = [
  'RunTask',
  'StopTask',
  'DescribeTasks',
  'ListTasks',
  'StartBuild',
  'StopBuild',
  'BatchGetBuilds',
  'ListBuildsForProject',
  'GetParameters',
  'GetLogEvents',
] as const

export type FaultName =
  | keyof typeof ECS
  | keyof typeof CODEBUILD
  | keyof typeof SSM
  | keyof typeof LOGS
  | Outage<(typeof OPERATIONS)[number]>

export const FAULTS = {
  ...ECS,
  ...CODEBUILD,
  ...SSM,
  ...LOGS,
  ...Object.assign({}, ...OPERATIONS.map(outages)),
} as Readonly<Record<FaultName, Fault>>
