/**
 * Parts that mean something and that nothing can start yet: there are no task definitions for them. Whoever launches says so
 * before it asks for a place. When there are, this file goes, with `notBuilt` in rules.ts.
 */
import type { Compute, Problem } from '../types.ts'
import type { Chosen } from './chosen.ts'

export function notBuiltProblems({ build, image }: Chosen, compute: Compute): readonly Problem[] {
  const problems: Problem[] = []
  if (build !== undefined && compute === 'fargate')
    problems.push({
      label: build.label,
      message:
        'Images cannot be built on Fargate yet, only with Docker on CodeBuild; that comes with a later version.',
      suggestion: 'docker',
    })
  if (image !== undefined)
    problems.push({
      label: image.label,
      message: 'There is only the standard image yet; others come with a later version.',
      suggestion: null,
    })
  return problems
}
