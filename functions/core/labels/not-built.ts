/**
 * Parts that mean something and that nothing can start yet: there are no task definitions for them. Whoever launches says so
 * before it asks for a place. When there are, this file goes, with `notBuilt` in rules.ts.
 */
import type { Compute, Problem } from '../types.ts'
import type { Chosen } from './chosen.ts'

/** Of `image:`, whatever its name: tornade.yml can have none in a deployment. */
export const NO_IMAGES = 'There is only the standard image yet; others come with a later version.'

export function notBuiltProblems({ build }: Chosen, compute: Compute): readonly Problem[] {
  if (build === undefined || compute !== 'fargate') return []
  const message =
    'Images cannot be built on Fargate yet, only with Docker on CodeBuild; that comes with a later version.'
  return [{ label: build.label, message, suggestion: 'docker' }]
}
