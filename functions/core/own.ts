/**
 * What tornade.yml says of one repository. GitHub takes names without regard to case, and so do the tables that are read
 * from the file: their names are in small letters.
 */
export function ownOf<T>(table: Readonly<Record<string, T>>, repository: string): T | undefined {
  const name = repository.toLowerCase()
  return Object.hasOwn(table, name) ? table[name] : undefined
}
