import { execFileSync, spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readArguments } from '../../runner-image/tools/deploy/arguments.ts'
import {
  imageText,
  isBranch,
  pathFault,
  readDuration,
  readImage,
} from '../../runner-image/tools/deploy/forms.ts'
import { line } from '../../runner-image/tools/deploy/text.ts'

const DIGEST = `sha256:${'ab'.repeat(32)}`

describe('an image', () => {
  it.each([
    'nginx',
    'acme/shop',
    'ghcr.io/acme/shop',
    'localhost:5000/acme/shop',
    'acme/a.b_c__d--e',
    '123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme/shop:1.2.3',
  ])('may be %s by its digest', name => {
    const image = readImage(`${name}@${DIGEST}`)
    expect(image && imageText(image)).toBe(`${name}@${DIGEST}`)
  })

  it.each([
    ['without a digest', 'acme/shop:1.0'],
    ['by a short digest', 'acme/shop@sha256:abc'],
    ['by a digest in capitals', `acme/shop@sha256:${'AB'.repeat(32)}`],
    ['by another sum', `acme/shop@md5:${'ab'.repeat(16)}`],
    ['with capitals', `acme/Shop@${DIGEST}`],
    ['with a space', `acme/sh op@${DIGEST}`],
    ['with a line break behind it', `acme/shop@${DIGEST}\n`],
    ['with an address', `https://ghcr.io/acme/shop@${DIGEST}`],
    ['with an empty tag', `acme/shop:@${DIGEST}`],
    ['with two digests', `acme/shop@${DIGEST}@${DIGEST}`],
    ['of nothing', `@${DIGEST}`],
  ])('is none %s', (_, text) => {
    expect(readImage(text)).toBeNull()
  })
})

describe('a path', () => {
  it.each(['values.yaml', 'apps/shop/values.prod.yaml', 'a b/c.yaml', '.argocd/x.yaml', '..a/b'])(
    'may be %j',
    path => expect(pathFault(path)).toBeNull(),
  )

  it.each([
    '',
    '/etc/passwd',
    '../other/values.yaml',
    'a/../../b',
    'a//b',
    './a',
    'a/',
    '.github/workflows/ci.yml',
    '.GitHub/workflows/ci.yml',
    'a/.git/config',
    'a\\b',
    'a\nb',
    'a\0b',
    'x'.repeat(2000),
  ])('may not be %j', path => expect(pathFault(path)).not.toBeNull())
})

describe('a branch', () => {
  const fits = (name: string) => spawnSync('git', ['check-ref-format', `refs/heads/${name}`]).status === 0
  execFileSync('git', ['--version'])

  it.each(['main', 'release/1.2', 'a.b', 'ä', 'x@y'])('may be %j', name => {
    expect([isBranch(name), fits(name)]).toEqual([true, true])
  })

  it.each([
    'a..b',
    'a b',
    'a~1',
    'a^',
    'a:b',
    'a?',
    'a*',
    'a[',
    'a\\b',
    'a//b',
    '/a',
    'a/',
    'a.lock',
    '.a',
    'a/.b',
    'a.',
    'a@{b',
    'a.lock/b',
  ])('may not be %j, as git says', name => expect([isBranch(name), fits(name)]).toEqual([false, false]))

  it.each(['--force', '-f', '@', 'HEAD', ''])(
    'may not be %j, which git would take for something else',
    name => expect(isBranch(name)).toBe(false),
  )
})

describe('a time', () => {
  it.each([
    ['90s', 90_000],
    ['1.5m', 90_000],
    ['250ms', 250],
    ['24h', 86_400_000],
    ['25h', null],
    ['10', null],
    ['-1s', null],
    ['1e3s', null],
  ])('%s is %s ms', (text, expected) => expect(readDuration(text)).toBe(expected))
})

describe('the command line', () => {
  const image = ['--image', `acme/shop@${DIGEST}`]
  const faults = (...argv: string[]) => {
    try {
      readArguments(argv)
      return []
    } catch (error) {
      const { exit, message, details } = error as { exit: number; message: string; details: string[] }
      expect(exit).toBe(2)
      return [message, ...details]
    }
  }

  it('gives --key and --name to the place before them, and --image to those after it', () => {
    const second = `acme/api@${DIGEST}`
    const argv = [
      ...[
        '--image',
        `acme/shop@${DIGEST}`,
        '--values',
        'a.yaml',
        '--values',
        './b.yaml',
        '--key',
        'api.image',
      ],
      ...['--image', second, '--kustomize', 'over/prod/', '--name', 'api', '--manifest', 'c.yaml'],
    ]
    expect(readArguments(argv)!.targets).toEqual([
      { kind: 'values', path: 'a.yaml', key: 'image', image: readImage(`acme/shop@${DIGEST}`) },
      { kind: 'values', path: 'b.yaml', key: 'api.image', image: readImage(`acme/shop@${DIGEST}`) },
      { kind: 'kustomize', path: 'over/prod', name: 'api', image: readImage(second) },
      { kind: 'manifest', path: 'c.yaml', image: readImage(second) },
    ])
  })

  it.each<[string, string[], string]>([
    ['nothing', [], 'nothing to do'],
    ['no image', ['--values', 'a.yaml'], '--image is missing'],
    ['an image by tag', ['--image', 'acme/shop:1', '--values', 'a.yaml'], 'no image by digest'],
    ['a workflow', [...image, '--manifest', '.github/workflows/a.yml'], '.git and .github are not'],
    ['a key after nothing', [...image, '--key', 'a'], 'stands after no place'],
    ['two keys', [...image, '--values', 'a', '--key', 'x', '--key', 'y'], 'stands after no place'],
    ['an application without a server', [...image, '--values', 'a', '--app', 'x'], '--app needs --server'],
    [
      'an application that is a path',
      [...image, '--values', 'a', '--app', '../x', '--server', 'x'],
      'no name of an application',
    ],
    ['a branch that is an option', [...image, '--values', 'a', '--branch=--force'], '--branch is no branch'],
    [
      'a remote that is a command',
      [...image, '--values', 'a', '--remote', 'ext::sh -c x'],
      '--remote is no remote',
    ],
    [
      'a token over http',
      [...image, '--values', 'a', '--app', 'x', '--server', 'http://argo.example.com'],
      'would show the token',
    ],
    [
      'a server with a password',
      [...image, '--values', 'a', '--app', 'x', '--server', 'https://a:b@c'],
      'without user, password',
    ],
    ['a rollback of nothing', [...image, '--values', 'a', '--rollback'], '--rollback needs'],
    ['an option that is none', ['--foo'], "Unknown option '--foo'"],
    ['an endless wait', [...image, '--values', 'a', '--timeout', 'forever'], '--timeout is a time'],
  ])('refuses %s', (_, argv, reason) => {
    expect(faults(...argv).join('\n')).toContain(reason)
  })

  it('says nothing that could be a command to the runner or hide a line', () => {
    const hostile = ['::set-env name=x::y', '##[error]x', 'a\n::add-mask::b', '\x1b[2Ka\r']
    for (const text of hostile) {
      const told = faults(
        '--image',
        text,
        '--values',
        text,
        '--app',
        text,
        '--server',
        text,
        '--branch',
        text,
      )
      expect(told.length).toBeGreaterThan(3)
      for (const fault of told) expect(fault).not.toMatch(/^::|##\[|\p{Cc}/u)
    }
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(':', '#', '[', ']', '\n', '\r', '\x1b', 'a', ' ') }),
        text => {
          expect(line(text)).not.toMatch(/^::|##\[|\p{Cc}/u)
        },
      ),
    )
  })
})
