/** `npm run package` as a whole, for a tornade.yml that changes the template. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ROOT, type Template } from '../infra/stack.ts'

const STAGE = 'package-test'
const IMAGE = `123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/node@sha256:${'a'.repeat(64)}`

let cwd: string
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'tornade-package-'))
})
afterAll(async () => {
  const made = ['package', 'stack'].map(name => join(ROOT, '.tornade', name, STAGE))
  for (const path of [cwd, ...made]) await rm(path, { recursive: true, force: true })
})

it('makes a template with the images of tornade.yml, by their digests', async () => {
  const text = `region: eu-west-1\nowners: { acme: 9919 }\nimages: { node: '${IMAGE}' }\n`
  await writeFile(join(cwd, 'tornade.yml'), text)
  const script = join(ROOT, 'scripts/package.ts')
  await promisify(execFile)(process.execPath, [script, '--stage', STAGE], { cwd })
  const template = join(ROOT, '.tornade/stack', STAGE, 'cloudformation-template-update-stack.json')
  const { Resources } = JSON.parse(await readFile(template, 'utf8')) as Template
  const images = Object.values(Resources).flatMap(({ Properties }) =>
    String(Properties?.Family).startsWith(`tornade-${STAGE}-image-`)
      ? [[Properties!.Family, (Properties!.ContainerDefinitions as { Image: string }[])[0]!.Image]]
      : [],
  )
  expect(images).toEqual([
    [`tornade-${STAGE}-image-node-x64`, IMAGE],
    [`tornade-${STAGE}-image-node-arm64`, IMAGE],
  ])
}, 60_000)
