/** A browser without a window: a jar of cookies that keeps the rules of their attributes, and where a request came from. */
import type { Clock } from '../../functions/ports.ts'

export interface Visit {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Where it ended. */
  readonly url: string
  /** All that it came by, the end among them. */
  readonly way: readonly string[]
}

interface Cookie {
  readonly value: string
  readonly attributes: readonly string[]
  /** Milliseconds since 1970. */
  readonly until: number
}

/** How one host is asked. */
export type Ask = (url: URL, init: RequestInit) => Promise<Response>

export class Browser {
  /** By host, then by name. */
  readonly jar = new Map<string, Map<string, Cookie>>()
  /** Attributes that a browser would not take a cookie with. */
  readonly refused: string[] = []
  readonly #clock: Clock
  readonly #ask: Ask

  constructor(clock: Clock, ask: Ask = fetch) {
    this.#clock = clock
    this.#ask = ask
  }

  cookie(host: string, name: string): string | undefined {
    const cookie = this.jar.get(host)?.get(name)
    return cookie && cookie.until > this.#clock.now() ? cookie.value : undefined
  }

  /** What the person, or another page, makes the browser open. */
  async open(address: string, init: RequestInit = {}, most = 10): Promise<Visit> {
    const way: string[] = []
    let url = new URL(address)
    let { method = 'GET', ...rest } = init
    for (;;) {
      way.push(url.href)
      const response = await this.#ask(url, this.#request(url, { ...rest, method }))
      this.#keep(url.host, response.headers.getSetCookie())
      const location = response.headers.get('location')
      if (location === null || way.length > most)
        return {
          status: response.status,
          headers: response.headers,
          text: await response.text(),
          url: url.href,
          way,
        }
      await response.arrayBuffer()
      url = new URL(location, url)
      method = 'GET'
      rest = {}
    }
  }

  #request(url: URL, init: RequestInit): RequestInit {
    const known = [...(this.jar.get(url.host) ?? [])].filter(([, { until }]) => until > this.#clock.now())
    const cookie = known.map(([name, { value }]) => `${name}=${value}`).join('; ')
    return {
      ...init,
      redirect: 'manual',
      headers: { ...(cookie === '' ? {} : { cookie }), ...(init.headers as Record<string, string>) },
    }
  }

  #keep(host: string, lines: readonly string[]): void {
    const jar = this.jar.get(host) ?? new Map<string, Cookie>()
    this.jar.set(host, jar)
    for (const line of lines) {
      const [pair = '', ...attributes] = line.split(/; */)
      const [name = '', ...value] = pair.split('=')
      const has = (attribute: string) => attributes.some(one => one.toLowerCase() === attribute.toLowerCase())
      const isHost = has('Secure') && has('Path=/') && !attributes.some(one => /^domain=/i.test(one))
      if (name.startsWith('__Host-') && !isHost) {
        this.refused.push(line)
        continue
      }
      const age = attributes.find(one => /^max-age=/i.test(one))?.slice('max-age='.length)
      const until = age === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() + Number(age) * 1000
      jar.set(name, { value: decodeURIComponent(value.join('=')), attributes, until })
    }
  }
}
