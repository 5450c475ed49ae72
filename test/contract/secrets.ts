/** What every keeper of secrets must do. */
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Secrets } from '../../functions/ports.ts'

export interface SecretsMaker {
  readonly secrets: Secrets
  /** Puts these where the keeper reads them, and lets so much time pass that it must know of them. */
  rotate?(current: string, previous: string | null): Promise<void>
  close(): Promise<void>
}

/** The secret that a maker begins with. */
export const CURRENT = 'canary-current "\\+/= %41 '

/** @param fixed why the subject's secret is never another one */
export function secretsContract(name: string, start: () => Promise<SecretsMaker>, fixed?: string): void {
  describe(`the secrets ${name}`, () => {
    let maker: SecretsMaker
    beforeEach(async () => {
      maker = await start()
    })
    afterEach(() => maker.close())

    it('are known to the letter, however often and by however many they are asked for', async () => {
      const asked = await Promise.all(Array.from({ length: 5 }, () => maker.secrets.webhook()))
      expect([...asked, await maker.secrets.webhook()]).toEqual(Array(6).fill([CURRENT]))
    })

    it('show up in nothing that is printed of their keeper', async () => {
      await maker.secrets.webhook()
      expect(inspect(maker.secrets, { depth: 10 })).not.toContain('canary')
      expect(JSON.stringify(maker.secrets)).not.toContain('canary')
    })

    const rotation = 'are two while one is put in the place of the other, the current one first'
    if (fixed) it.skip(`${rotation} (skipped: ${fixed})`)
    else
      it(rotation, async () => {
        expect(await maker.secrets.webhook()).toEqual([CURRENT])
        await maker.rotate!('next', CURRENT)
        expect(await maker.secrets.webhook()).toEqual(['next', CURRENT])
        await maker.rotate!('next', null)
        expect(await maker.secrets.webhook()).toEqual(['next'])
      })
  })
}
