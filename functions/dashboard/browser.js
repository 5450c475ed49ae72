// What pages do where there is JavaScript. Without it everything is there, only calmer.
;(() => {
  const all = (root, selector) => [...root.querySelectorAll(selector)]

  // Times, in the zone of who looks.
  const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' })
  const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
  const localTimes = root => {
    for (const element of all(root, 'time[datetime]')) {
      const at = new Date(element.dateTime)
      const [first, second] = element.querySelectorAll('span')
      if (!second || Number.isNaN(at.getTime())) continue
      element.title = `${element.dateTime.slice(0, 19).replace('T', ' ')} UTC`
      first.textContent = day.format(at)
      second.textContent = clock.format(at)
    }
  }

  // Charts, drawn over the SVG from the table beside it.
  const money = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD' })
  const usd = value => (value > 0 && value < 5000 ? '<$0.01' : money.format(value / 1e6))
  const length = ms => {
    const s = ms / 1000
    if (s < 10) return `${s.toFixed(1)} s`
    if (s < 60) return `${Math.round(s)} s`
    const [big, small, unit, rest] =
      s < 3600 ? [s / 60, s % 60, 'min', 's'] : [s / 3600, (s % 3600) / 60, 'h', 'min']
    return `${Math.floor(big)} ${unit}${Math.floor(small) ? ` ${Math.floor(small)} ${rest}` : ''}`
  }

  // What people count time in.
  const STEPS_MS = [
    0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400,
  ].map(seconds => seconds * 1000)

  const draw = figure => {
    const plot = figure.querySelector('.plot')
    const write = figure.dataset.unit === 'usd' ? usd : length
    const isBars = figure.dataset.chart === 'bars'
    const rows = all(figure, 'table.data tbody tr')
    const heads = all(figure, 'table.data thead th[data-tone]')
    const style = getComputedStyle(figure)
    const colour = name => style.getPropertyValue(name).trim()
    const days = rows.map(
      row => Date.parse(`${row.querySelector('[data-day]').dataset.day}T00:00:00Z`) / 1000,
    )
    const values = heads.map((_, index) =>
      rows.map(row => {
        const { value } = row.children[index + 1].dataset
        return value === undefined ? null : Number(value)
      }),
    )
    // Bars stand on each other: the last one is drawn first, as high as all together.
    const stacked = values.map((_, index) =>
      days.map((_, at) => values.slice(0, index + 1).reduce((sum, one) => sum + (one[at] ?? 0), 0)),
    )
    const order = heads.map((_, index) => index)
    if (isBars) order.reverse()
    const outputs = all(figure, '.key .value')
    const dayName = figure.querySelector('.key .day')
    const totals = outputs.map(output => output.textContent)
    const name = new Intl.DateTimeFormat('en-GB', {
      weekday: 'short',
      day: 'numeric',
      month: 'short',
      timeZone: 'UTC',
    })
    const show = at => {
      dayName.textContent = at == null ? '' : name.format(days[at] * 1000)
      outputs.forEach((output, index) => {
        const value = at == null ? undefined : values[index][at]
        output.textContent = at == null ? totals[index] : value == null ? '–' : write(value)
      })
    }
    const axis = {
      stroke: colour('--soft'),
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { show: false },
      font: `${0.75 * Number.parseFloat(getComputedStyle(document.documentElement).fontSize)}px ${style.fontFamily}`,
    }
    const pen = document.createElement('canvas').getContext('2d')
    pen.font = axis.font
    const widthOf = text => Math.ceil(pen.measureText(text).width)
    const height = plot.clientHeight
    const still = [...plot.children]
    plot.classList.add('drawn')
    const drawn = new uPlot(
      {
        width: plot.clientWidth,
        height,
        tzDate: at => uPlot.tzDate(new Date(at * 1000), 'Etc/UTC'),
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { show: !isBars } },
        scales: {
          x: { time: true, range: (_, least, most) => [least - 43_200, most + 43_200] },
          y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            space: 64,
            size: 28,
            values: (_, ticks) =>
              ticks.map(at => (at % 86_400 ? '' : name.format(at * 1000).replace(/^\w+,? /, ''))),
          },
          {
            ...axis,
            ...(write === length ? { incrs: STEPS_MS } : {}),
            size: (_, texts) => 16 + Math.max(24, ...(texts ?? []).map(widthOf)),
            values: (_, ticks) =>
              ticks.map(value => (value === 0 ? '0' : write(value).replace(/\.00?(?= s|$)/, ''))),
          },
        ],
        series: [
          {},
          ...order.map(index => {
            const tone = colour(`--${heads[index].dataset.tone}`)
            return isBars
              ? {
                  fill: tone,
                  stroke: tone,
                  width: 0,
                  points: { show: false },
                  paths: uPlot.paths.bars({ size: [0.74, 64], radius: 0 }),
                }
              : { stroke: tone, width: 2, points: { show: days.length < 40, size: 5, fill: tone } }
          }),
        ],
        hooks: { setCursor: [({ cursor }) => show(cursor.idx)] },
      },
      [days, ...order.map(index => (isBars ? stacked : values)[index])],
      plot,
    )
    for (const element of still) element.setAttribute('hidden', '')
    drawn.root.setAttribute('aria-hidden', 'true')
    return { drawn, plot, height }
  }

  const charts = new Map()
  const drawAll = () => {
    if (typeof uPlot === 'undefined') return
    for (const { drawn, plot } of charts.values()) {
      drawn.destroy()
      plot.classList.remove('drawn')
      for (const element of plot.children) element.removeAttribute('hidden')
    }
    charts.clear()
    for (const figure of all(document, 'figure.chart')) charts.set(figure, draw(figure))
  }

  // A page that moves asks for itself again, and takes over what has changed: what has the focus keeps it, and nothing jumps.
  const isSame = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && a.id === b.id
  const take = (old, fresh) => {
    if (old.nodeType !== 1) {
      if (old.data !== fresh.data) old.data = fresh.data
      return
    }
    // What the reader changed stays.
    if (old.dataset.keep !== undefined) return
    for (const { name } of [...old.attributes])
      if (!fresh.hasAttribute(name) && !(name === 'open' && old.nodeName === 'DETAILS'))
        old.removeAttribute(name)
    for (const { name, value } of fresh.attributes)
      if (old.getAttribute(name) !== value) old.setAttribute(name, value)
    const byId = new Map([...old.children].filter(({ id }) => id).map(child => [child.id, child]))
    let place = old.firstChild
    for (const child of [...fresh.childNodes]) {
      const known = child.id && byId.get(child.id)
      if (known && known !== place) old.insertBefore(known, place)
      const match = known || (place && isSame(place, child) ? place : null)
      if (match) {
        take(match, child)
        place = match.nextSibling
      } else old.insertBefore(document.importNode(child, true), place)
    }
    while (place) {
      const next = place.nextSibling
      place.remove()
      place = next
    }
  }

  const keepFresh = main => {
    const control = document.querySelector('[data-keep="refresh"]')
    if (!control) return
    const status = control.querySelector('[role="status"]')
    const button = document.createElement('button')
    button.type = 'button'
    control.querySelector('a').replaceWith(button)
    let isOn = true
    let failed = null
    const say = () => {
      button.textContent = isOn ? 'Pause' : 'Go on'
      const text = failed
        ? `The server cannot be reached since ${clock.format(failed)}. What is below is from before; it is asked again.`
        : isOn
          ? `Kept up to date every ${main.dataset.refresh} s.`
          : 'Paused: nothing below changes.'
      // Said aloud only when it is news.
      if (status.textContent !== text) status.textContent = text
      status.classList.toggle('bad', failed !== null)
    }
    const refresh = async () => {
      if (isOn && !document.hidden)
        try {
          const answer = await fetch(location.href, { headers: { accept: 'text/html' }, redirect: 'manual' })
          // Signed out: the way in is shown in place of this.
          if (answer.type === 'opaqueredirect') return location.reload()
          if (!answer.ok) throw new Error(String(answer.status))
          const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html')
          const next = fresh.getElementById('main')
          localTimes(next)
          if (isOn) take(main, next)
          document.title = fresh.title
          failed = null
        } catch {
          failed ??= new Date()
        }
      say()
      setTimeout(refresh, Number(main.dataset.refresh) * 1000)
    }
    button.addEventListener('click', () => {
      isOn = !isOn
      say()
    })
    say()
    setTimeout(refresh, Number(main.dataset.refresh) * 1000)
  }

  localTimes(document)
  const zone = document.getElementById('zone')
  if (zone) zone.textContent = `those of ${Intl.DateTimeFormat().resolvedOptions().timeZone}`
  drawAll()
  let width = innerWidth
  let waiting = 0
  addEventListener('resize', () => {
    if (innerWidth === width) return
    width = innerWidth
    clearTimeout(waiting)
    waiting = setTimeout(drawAll, 150)
  })
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll)
  const main = document.querySelector('main[data-refresh]')
  if (main) keepFresh(main)
})()
