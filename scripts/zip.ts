/** Zip archives with the same bytes for the same files: sorted, without times, and readable for whoever unpacks them. */
import { crc32, deflateRawSync } from 'node:zlib'

export interface ZipEntry {
  /** Path inside the archive, with slashes. */
  readonly path: string
  readonly bytes: Uint8Array
  readonly executable?: boolean
}

/** 1980-01-01, the earliest date that a zip can have. */
const DOS_DATE = 0x21
const DEFLATE = 8
/** Names are UTF-8. */
const FLAGS = 0x0800
/** 2.0, made on a Unix system: Lambda unpacks with the modes that stand here. */
const VERSION = 20
const MADE_BY = (3 << 8) | VERSION

/** https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT */
export function zip(entries: readonly ZipEntry[]): Buffer {
  const sorted = [...entries].sort((a, b) => (a.path < b.path ? -1 : 1))
  const locals: Buffer[] = []
  const central: Buffer[] = []
  let offset = 0
  for (const { path, bytes, executable } of sorted) {
    const name = Buffer.from(path)
    const data = deflateRawSync(bytes, { level: 9 })
    const common = Buffer.alloc(26)
    common.writeUInt16LE(VERSION, 0)
    common.writeUInt16LE(FLAGS, 2)
    common.writeUInt16LE(DEFLATE, 4)
    common.writeUInt16LE(0, 6)
    common.writeUInt16LE(DOS_DATE, 8)
    common.writeUInt32LE(crc32(bytes), 10)
    common.writeUInt32LE(data.length, 14)
    common.writeUInt32LE(bytes.length, 18)
    common.writeUInt16LE(name.length, 22)
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, name, data])
    locals.push(local)

    const rest = Buffer.alloc(14)
    rest.writeUInt32LE(((executable ? 0o100755 : 0o100644) << 16) >>> 0, 6)
    rest.writeUInt32LE(offset, 10)
    const madeBy = Buffer.alloc(2)
    madeBy.writeUInt16LE(MADE_BY)
    central.push(Buffer.concat([Buffer.from('PK\x01\x02'), madeBy, common, rest, name]))
    offset += local.length
  }
  const directory = Buffer.concat(central)
  const end = Buffer.alloc(18)
  end.writeUInt16LE(sorted.length, 4)
  end.writeUInt16LE(sorted.length, 6)
  end.writeUInt32LE(directory.length, 8)
  end.writeUInt32LE(offset, 12)
  return Buffer.concat([...locals, directory, Buffer.from('PK\x05\x06'), end])
}
