/** What counts as a registry of ECR, and as a role. */
import { expect, it } from 'vitest'
import { ecrHostsIn, ecrRegistry, readRole } from '../../runner-image/tools/push/ecr.ts'

it.each([
  ['111111111111.dkr.ecr.eu-west-1.amazonaws.com', 'eu-west-1'],
  ['111111111111.dkr.ecr-fips.us-gov-east-1.amazonaws.com', 'us-gov-east-1'],
  ['111111111111.dkr.ecr.cn-north-1.amazonaws.com.cn', 'cn-north-1'],
  ['public.ecr.aws', null],
  ['ghcr.io', null],
  ['1111.dkr.ecr.eu-west-1.amazonaws.com', null],
  ['111111111111.dkr.ecr.eu-west-1.amazonaws.com.example', null],
  ['evil.example/111111111111.dkr.ecr.eu-west-1.amazonaws.com', null],
])('%s is in %s', (host, region) => {
  expect(ecrRegistry(host)?.region ?? null).toBe(region)
})

it('finds registries in a Dockerfile, and nothing that only looks like one', () => {
  const [one, two] = [
    '111111111111.dkr.ecr.eu-west-1.amazonaws.com',
    '222222222222.dkr.ecr.eu-west-1.amazonaws.com',
  ]
  expect(
    ecrHostsIn(
      [
        `FROM --platform=linux/arm64 ${one}/base:1 AS base`,
        `FROM ${one}/other@sha256:0`,
        `COPY --from=${two}/tools /a /a`,
        `# not.${two}/x, x${one}/y, ${two}.example/z`,
      ].join('\n'),
    ),
  ).toEqual([one, two])
})

it.each([
  ['arn:aws:iam::222222222222:role/push', '222222222222'],
  ['arn:aws-cn:iam::222222222222:role/team/push+1', '222222222222'],
  ['arn:aws:iam::222222222222:user/push', null],
  ['arn:aws:iam::222222222222:role/', null],
  ['arn:aws:iam::222222222222:role/push\n--debug', null],
  ['--role-arn=x', null],
])('%j is a role of %s', (arn, account) => {
  expect(readRole(arn)?.account ?? null).toBe(account)
})
