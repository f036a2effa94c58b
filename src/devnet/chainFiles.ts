/**
 * Chain files from disk.
 *
 * In: paths. Out: one {@link ServedChain} of all their blocks. The kind of a file is told by how
 * its content begins (era1, gzip, RLP), never by its name alone. Whatever cannot be read or is
 * foreign is a `ChainFileInvalid`, and who named the file is to blame.
 */
import { readFileSync } from "node:fs"
import { isEra1, readEra1 } from "./era1.ts"
import { isRlpList, readRlpChain, unpackGzip } from "./rlpChain.ts"
import {
  ChainFileInvalid,
  makeServedChain,
  type ServedChain,
  type ServedChainOptions,
  type SourceBlock,
} from "./servedChain.ts"

/**
 * Reads the files at `paths` into one chain; `options.genesisHeader` puts block 0 in front. The
 * whole content is held in memory, and reading blocks the thread: for devnet's own process.
 */
export const readChainFiles = (
  paths: ReadonlyArray<string>,
  options: ServedChainOptions = {},
): ServedChain => makeServedChain(paths.flatMap(readChainFile), options)

/** The blocks of one file of any of the known kinds. */
export const readChainFile = (path: string): ReadonlyArray<SourceBlock> => {
  const bytes = unpackGzip(readBytes(path), path)
  if (isEra1(bytes)) return readEra1(bytes, path)
  if (isRlpList(bytes)) return readRlpChain(bytes, path)
  const reason = bytes.length === 0 ? "an empty file" : "neither era1 nor RLP, plain or gzipped"
  throw new ChainFileInvalid({ path, offset: 0, reason })
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EACCES: "no permission to read it",
  EISDIR: "a directory, not a file",
}

const readBytes = (path: string): Uint8Array => {
  try {
    return readFileSync(path)
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown"
    const reason = REASONS[code] ?? `cannot be read (${code})`
    throw new ChainFileInvalid({ path, offset: 0, reason })
  }
}
