import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { readImage } from '../../runner-image/tools/deploy/forms.ts'
import { edited, type Target } from '../../runner-image/tools/deploy/targets.ts'

const DIGEST = `sha256:${'ab'.repeat(32)}`
const OLD = `sha256:${'00'.repeat(32)}`
const BY_DIGEST = readImage(`ghcr.io/acme/shop@${DIGEST}`)!
const BY_TAG_TOO = readImage(`ghcr.io/acme/shop:2.0@${DIGEST}`)!

const values = (text: string, key = 'image', image = BY_DIGEST) =>
  edited(text, { kind: 'values', path: 'values.yaml', key, image }).text
const overlay = (text: string, name = 'shop', image = BY_DIGEST) =>
  edited(text, { kind: 'kustomize', path: 'kustomization.yaml', name, image }).text
const manifest = (text: string, image = BY_DIGEST) =>
  edited(text, { kind: 'manifest', path: 'deployment.yaml', image }).text

describe('Helm values', () => {
  it.each<[string, string, string]>([
    [
      'repository, tag and digest; the tag stays where the image has none',
      `image: # here\n  repository:   "x/y" # r\n  tag: '1.0'\n  digest: ${OLD} # d\nb: 1\n`,
      `image: # here\n  repository:   "ghcr.io/acme/shop" # r\n  tag: '1.0'\n  digest: ${DIGEST} # d\nb: 1\n`,
    ],
    [
      'an empty digest',
      'image:\n  digest: # set by the pipeline\n',
      `image:\n  digest: ${DIGEST} # set by the pipeline\n`,
    ],
    ['an empty digest at the end', 'image:\n  digest:', `image:\n  digest: ${DIGEST}`],
    ['a digest in quotes', "image: {digest: ''}", `image: {digest: '${DIGEST}'}`],
    [
      'repository and tag alone, where a chart writes repository:tag',
      'image:\n  repository: a/b\n  tag: "1.0"\n',
      `image:\n  repository: ghcr.io/acme/shop\n  tag: "1.0@${DIGEST}"\n`,
    ],
    ['a tag with a digest of before', `image:\n  tag: 1.0@${OLD}\n`, `image:\n  tag: 1.0@${DIGEST}\n`],
    [
      'a registry of its own',
      `image:\n  registry: docker.io\n  repository: a/b\n  digest: ""\n`,
      `image:\n  registry: ghcr.io\n  repository: acme/shop\n  digest: "${DIGEST}"\n`,
    ],
    ['a whole image', 'image: a/b:1 # x\n', `image: ghcr.io/acme/shop@${DIGEST} # x\n`],
    ['lines of Windows', 'a: 1\r\nimage: x\r\n', `a: 1\r\nimage: ghcr.io/acme/shop@${DIGEST}\r\n`],
    ['a byte order mark', '\uFEFFimage: x\n', `\uFEFFimage: ghcr.io/acme/shop@${DIGEST}\n`],
    ['an anchor', 'image: &i x\nb: *i\n', `image: &i ghcr.io/acme/shop@${DIGEST}\nb: *i\n`],
    ['no line break at the end', 'image: x', `image: ghcr.io/acme/shop@${DIGEST}`],
  ])('are set in %s', (_, before, after) => {
    expect(values(before)).toBe(after)
    expect(values(after)).toBe(after)
  })

  it('are found below other keys, in lists, and where a key has a dot', () => {
    expect(values('a:\n  b:\n  - c: x\n  - c: y\n', 'a.b[1].c')).toContain(`  - c: x\n  - c: ghcr.io`)
    expect(values(`a.b: {image: {digest: ${OLD}}}`, 'a\\.b.image')).toContain(DIGEST)
    expect(values(`web: {digest: ${OLD}}`, 'web.digest')).toBe(`web: {digest: ${DIGEST}}`)
  })

  it.each(['image.tag', 'imageTag', 'web.image_tag'])(
    'are a tag with a digest where the key %s names one',
    key => {
      const nested = key.split('.').reduceRight((value, part) => `{${part}: ${value}}`, '"1.0"')
      expect(values(nested, key)).toBe(nested.replace('1.0', `1.0@${DIGEST}`))
      expect(values(nested.replace('1.0', `1.0@${OLD}`), key)).toBe(nested.replace('1.0', `1.0@${DIGEST}`))
      expect(values(nested, key, BY_TAG_TOO)).toBe(nested.replace('1.0', `2.0@${DIGEST}`))
      expect(() => values(nested.replace('1.0', ''), key)).toThrow('has an empty tag')
      const whole = nested.replace('1.0', 'a/b:1.0')
      expect(values(whole, key)).toBe(whole.replace('a/b:1.0', `ghcr.io/acme/shop@${DIGEST}`))
    },
  )

  it('have their tag set where the image has one, in quotes where it would else be a number', () => {
    const image = readImage(`a/b:1.10@${DIGEST}`)!
    expect(values(`image:\n  tag: v1\n  digest: ${OLD}\n`, 'image', image)).toContain('tag: "1.10"\n')
    expect(
      values(`image:\n  tag: v1\n  digest: ${OLD}\n`, 'image', readImage(`a/b:on@${DIGEST}`)!),
    ).toContain('tag: "on"')
  })

  it.each<[string, string, string]>([
    ['has no image', 'a: 1\n', 'has no image'],
    ['has something else there', 'image: [a]\n', 'has no single value at image'],
    ['leaves no place for a digest', 'image: {repository: a/b}\n', 'has neither tag nor digest'],
    [
      'has an empty tag and no digest',
      'image: {repository: a/b, tag: ""}\n',
      'has an empty tag and no digest',
    ],
    ['has an alias there', 'x: &x {tag: a}\nimage: *x\n', 'has an alias'],
    ['has a block of text', 'image: |\n  a\n', 'has a block of text'],
    ['says it twice', 'image: a\nimage: b\n', 'Map keys must be unique'],
    ['is a template', 'image: {{ .Values.x }}\nb: 1', 'values.yaml'],
    ['is no YAML', 'image: [\n', 'is no YAML that can be read'],
    ['is empty', '', 'holds not one YAML document'],
    [
      'is a bomb of aliases',
      `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c]\nimage: x\n`,
      'cannot be changed safely',
    ],
    ['has two documents', 'image: a\n---\nimage: b\n', 'holds not one YAML document'],
  ])('are refused where the file %s', (_, text, reason) => {
    expect(() => values(text)).toThrow(reason)
  })
})

describe('a Kustomize overlay', () => {
  it.each<[string, string, string]>([
    [
      'turns a tag into a digest',
      'images:\n- name: shop   # ours\n  newTag: v1 # t\n',
      `images:\n- name: shop   # ours\n  digest: ${DIGEST} # t\n  newName: ghcr.io/acme/shop\n`,
    ],
    [
      'sets name and digest',
      `images:\n- name: other\n  newTag: a\n- name: shop\n  newName: x\n  digest: ${OLD}\n`,
      `images:\n- name: other\n  newTag: a\n- name: shop\n  newName: ghcr.io/acme/shop\n  digest: ${DIGEST}\n`,
    ],
    [
      'adds an entry to the list, indented as the others',
      'images:\n  - name: other # o\n    newTag: a # z\n# end\nresources: [x]\n',
      `images:\n  - name: other # o\n    newTag: a # z\n  - name: shop\n    newName: ghcr.io/acme/shop\n    digest: ${DIGEST}\n# end\nresources: [x]\n`,
    ],
    [
      'adds the list',
      'resources:\n- a.yaml',
      `resources:\n- a.yaml\nimages:\n- name: shop\n  newName: ghcr.io/acme/shop\n  digest: ${DIGEST}\n`,
    ],
    [
      'fills an empty list',
      'images: [] # none\n',
      `images: \n- name: shop\n  newName: ghcr.io/acme/shop\n  digest: ${DIGEST} # none\n`,
    ],
    [
      'adds to an entry on one line',
      'images: [{name: shop}]\n',
      `images: [{name: shop, newName: ghcr.io/acme/shop, digest: ${DIGEST}}]\n`,
    ],
  ])('%s', (_, before, after) => {
    expect(overlay(before)).toBe(after)
    expect(overlay(after)).toBe(after)
  })

  it('keeps a tag beside the digest only where the image has one', () => {
    expect(overlay('images:\n- name: shop\n  newTag: v1\n', 'shop', BY_TAG_TOO)).toBe(
      `images:\n- name: shop\n  newTag: "2.0"\n  newName: ghcr.io/acme/shop\n  digest: ${DIGEST}\n`,
    )
  })

  it('names no new name where the image has that of the list', () => {
    expect(parse(overlay('images: []', BY_DIGEST.repository))).toEqual({
      images: [{ name: BY_DIGEST.repository, digest: DIGEST }],
    })
  })

  it('refuses a list on one line that the image is not in', () => {
    expect(() => overlay('images: [{name: other}]')).toThrow('on one line')
  })
})

describe('a plain manifest', () => {
  it('has the image set in every container of the repository, in every document, and nowhere else', () => {
    const text = `kind: Service
spec: {image: ghcr.io/acme/shop:1}
---
kind: CronJob
spec:
  jobTemplate:
    spec:
      initContainers:
      - {name: a, image: 'ghcr.io/acme/shop:1'} # first
      containers:
      - name: b
        image: ghcr.io/acme/shop:1@${OLD}  # second
      - name: c
        image: ghcr.io/acme/shop-worker:1
`
    expect(manifest(text)).toBe(
      text
        .replace("'ghcr.io/acme/shop:1'", `'ghcr.io/acme/shop@${DIGEST}'`)
        .replace(`ghcr.io/acme/shop:1@${OLD}`, `ghcr.io/acme/shop@${DIGEST}`),
    )
  })

  it('is refused where no container has an image of the repository, with those that it has', () => {
    expect(() => manifest('spec: {containers: [{image: "a/b:1"}]}')).toThrow(
      'no container with an image of ghcr.io/acme/shop; it has a/b',
    )
  })
})

// ----------------------------------------------------------------------------------------------------------- property

/** A text of YAML in any style, with comments, whose parts know what they mean. */
const space = fc.constantFrom('', ' # c', '   #x: y', ' ')
const word = fc.constantFrom(
  'a',
  'b',
  'sha256:1',
  "it's",
  '1.10',
  'on',
  'http://x/y#z',
  '',
  'ä',
  'a: b',
  '# no',
)
const quoted = fc
  .tuple(word, fc.constantFrom('double', 'single'))
  .map(([text, style]) => (style === 'double' ? JSON.stringify(text) : `'${text.replaceAll("'", "''")}'`))
const noise = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 99 }), quoted, space, fc.constantFrom('', '# alone', '')), {
    maxLength: 4,
  })
  .map(
    rows => (indent: string, prefix: string) =>
      rows.flatMap(([_, value, end, own], index) => [
        ...(own ? [`${indent}${own}`] : []),
        `${indent}${prefix}${index}:  ${value}${end}`,
      ]),
  )
const scalar = fc.constantFrom(OLD, `"${OLD}"`, `'${OLD}'`, '""', '')

describe('every other byte', () => {
  it('stays, however the file is written', () => {
    const text = fc
      .record({
        noises: fc.array(noise, { minLength: 4, maxLength: 4 }),
        old: scalar,
        end: space,
        newline: fc.constantFrom('\n', '\r\n'),
        tail: fc.boolean(),
      })
      .map(({ noises, old, end, newline, tail }) => {
        const line = `    digest: ${old}${end}`
        const lines = [
          ...noises[0]!('', 'x'),
          'web:',
          ...noises[1]!('  ', 'y'),
          '  image:',
          line,
          ...noises[2]!('    ', 'z'),
          ...noises[3]!('', 'v'),
        ]
        return { lines, at: lines.indexOf(line), newline, text: lines.join(newline) + (tail ? newline : '') }
      })
    fc.assert(
      fc.property(text, ({ lines, at, newline, text }) => {
        const target: Target = { kind: 'values', path: 'v.yaml', key: 'web.image', image: BY_DIGEST }
        const after = edited(text, target).text
        const afterLines = after.split(newline)
        expect(afterLines.length).toBe(text.split(newline).length)
        lines.forEach((line, index) => {
          if (index !== at) expect(afterLines[index]).toBe(line)
        })
        expect(afterLines[at]!.replace(new RegExp(`["']?${DIGEST}["']?`), '')).not.toContain('sha256')
        const wanted = parseAllDocuments(text)
        ;(wanted as { setIn: (path: string[], value: string) => void }[])[0]!.setIn(
          ['web', 'image', 'digest'],
          DIGEST,
        )
        expect(parse(after)).toEqual((wanted as { toJS: () => unknown }[])[0]!.toJS())
        expect(edited(after, target).text).toBe(after)
      }),
      { numRuns: 300 },
    )
  })
})
