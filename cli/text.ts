/** Text for a terminal of 80 columns. */

export const WIDTH = 80

/** Lines of at most 80 columns, indented; `first` stands in the indent of the first line. */
export function wrapped(text: string, indent: number, first = ''): string {
  const room = WIDTH - indent
  const words = text.split(' ').flatMap(word => chunks(word, room))
  const lines: string[] = []
  for (const word of words) {
    const line = lines.at(-1)
    if (line !== undefined && line.length + 1 + word.length <= room)
      lines[lines.length - 1] = `${line} ${word}`
    else lines.push(word)
  }
  return lines.map((line, index) => `${(index === 0 ? first : '').padEnd(indent)}${line}\n`).join('')
}

/** A word that no line has room for is broken, between code points. */
function chunks(word: string, size: number): readonly string[] {
  const points = [...word]
  return Array.from({ length: Math.max(1, Math.ceil(points.length / size)) }, (_, index) =>
    points.slice(index * size, (index + 1) * size).join(''),
  )
}
