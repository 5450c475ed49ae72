/**
 * Parts that mean something and that nothing can start yet: there is no task definition for them. Whoever launches says so
 * before it asks for a place. When there is, this file goes, with `notBuilt` in rules.ts.
 */
import type { Compute, Problem } from '../types.ts'
import type { Chosen } from './chosen.ts'

export function notBuiltProblems({ build }: Chosen, compute: Compute): readonly Problem[] {
  if (build === undefined || compute !== 'fargate') return []
  const message =
    'Images cannot be built on Fargate yet, only with Docker on CodeBuild; that comes with a later version.'
  return [{ label: build.label, message, suggestion: 'docker' }]
}
