import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { cutOutOf, subset } from '../../scripts/github-openapi.ts'

const FOLDER = join(import.meta.dirname, 'openapi')

describe('the part of GitHub’s description', () => {
  it('says where it is from, has its licence beside it, and is not large', async () => {
    const text = await readFile(join(FOLDER, 'github.json'), 'utf8')
    const { info } = JSON.parse(text) as { info: Record<string, string> }
    expect(info.version).toMatch(/^\d+\.\d+\.\d+$/)
    expect(info['x-origin']).toContain(`@octokit/openapi ${info.version}`)
    expect(await readFile(join(FOLDER, 'LICENSE'), 'utf8')).toMatch(
      /^MIT License Copyright .* Octokit contributors/,
    )
    expect(text.length).toBeLessThan(400_000)
  })

  // The package unpacks to 440 MB and is no dependency, so who has it says where: npm pack @octokit/openapi@VERSION && tar -xzf …
  const { OCTOKIT_OPENAPI: folder } = process.env
  it.skipIf(!folder)(
    `is what the package has of it${folder ? '' : ' (skipped: OCTOKIT_OPENAPI names no folder with it)'}`,
    async () => {
      const kept = JSON.parse(await readFile(join(FOLDER, 'github.json'), 'utf8'))
      expect(await cutOutOf(folder!)).toEqual(kept)
    },
  )

  /** Of itself alone this says that nothing it refers to is missing and nothing in it is unused; not that it is GitHub's. */
  it('refers to nothing that is missing, and has nothing that is not referred to', async () => {
    const whole = JSON.parse(await readFile(join(FOLDER, 'github.json'), 'utf8'))
    const ids = Object.values<Record<string, { operationId: string }>>(whole.paths)
      .flatMap(methods => Object.values(methods))
      .map(({ operationId }) => operationId)
    expect(ids).toHaveLength(25)
    const { info: _, ...again } = subset(whole, ids)
    const { info: __, ...before } = whole
    expect(again).toEqual(before)
  })
})

describe('cutting', () => {
  const schemas = {
    a: { $ref: '#/components/schemas/b' },
    b: { items: { $ref: '#/components/schemas/a' } },
    c: {},
  }
  const description = {
    openapi: '3.0.3',
    info: { version: '1.0.0' },
    paths: {
      '/x': {
        get: { operationId: 'x/get', responses: { 200: { schema: { $ref: '#/components/schemas/a' } } } },
        post: { operationId: 'x/post', responses: {} },
      },
      '/y': { get: { operationId: 'y/get', responses: { 200: { $ref: '#/components/responses/none' } } } },
    },
    components: { schemas: { ...schemas, 'basic-error': {} } },
  }

  it('keeps what is reached, round in a circle too, and the error that anything can be answered with', () => {
    const { paths, components } = subset(description, ['x/get'])
    expect(paths).toEqual({ '/x': { get: description.paths['/x'].get } })
    expect(components).toEqual({ schemas: { a: schemas.a, b: schemas.b, 'basic-error': {} } })
  })

  it('says what is missing', () => {
    expect(() => subset(description, ['x/put'])).toThrow('no such operation any more: x/put')
    expect(() => subset(description, ['y/get'])).toThrow(
      '#/components/responses/none is not in the description',
    )
  })
})
