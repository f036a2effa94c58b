/**
 * The addon of `native/`, where it was compiled: `npm ci` does so where it finds a compiler.
 *
 * Out: the addon, or undefined; nothing fails without it. What its functions take and leave is in
 * the head of `native/addon.c`.
 */
import { existsSync, readFileSync } from "node:fs"
import { createRequire } from "node:module"
import path from "node:path"
import { fileURLToPath } from "node:url"

/** What of the addon this program is written for; one that was compiled before is not used. */
const VERSION = 4

/** The addon's exports. */
export interface Native {
  readonly version: number
  /** Most messages that `hashMany` works on at once; 1 where the processor has no vectors for it. */
  readonly lanes: number
  /** `lanes` is 8 or 4, and no more than there are. */
  readonly hashMany: (memory: Uint8Array, jobs: number, jobsEnd: number, lanes: number) => void
  /** Items are words of 32 bits, three each, up to the byte `end`; `total` has 256 bytes. */
  readonly blooms: (
    source: Uint8Array,
    items: Uint8Array,
    end: number,
    filters: Uint8Array,
    total: Uint8Array,
    lanes: number,
  ) => void
  readonly hash: (data: Uint8Array, digest: Uint8Array) => void
  readonly update: (state: Uint8Array, data: Uint8Array) => void
  readonly digest: (state: Uint8Array, digest: Uint8Array) => void
  /** Takes its bytes from memory that can be detached, and frees them. */
  readonly detach: (memory: ArrayBufferLike) => void
  /** Whether the processor can do what follows; nothing of it may be called otherwise. */
  readonly frames: boolean
  /** Keys of 32 bytes. */
  readonly frameStart: (
    state: Uint8Array,
    aesKey: Uint8Array,
    macKey: Uint8Array,
    seed: Uint8Array,
  ) => void
  /** 16 bytes and their MAC; opened where they are. */
  readonly frameOpenHeader: (state: Uint8Array, header: Uint8Array) => boolean
  /** A multiple of 16 bytes and their MAC; opened where they are. */
  readonly frameOpenBody: (state: Uint8Array, body: Uint8Array) => boolean
  /** Header and body with room for a MAC behind each; sealed where they are. */
  readonly frameSeal: (state: Uint8Array, frame: Uint8Array) => void
}

/** Bytes of a running state. */
export const NATIVE_STATE_BYTES = 208

/** Bytes of the state of one direction of a connection. */
export const NATIVE_FRAME_STATE_BYTES = 728

/** The folder of this package, above this file or the bundle with it. */
const packageRoot = (): string | undefined => {
  let folder = path.dirname(fileURLToPath(import.meta.url))
  while (!existsSync(path.join(folder, "package.json"))) {
    const parent = path.dirname(folder)
    if (parent === folder) return undefined
    folder = parent
  }
  // Of whoever took the bundle along nothing is loaded.
  const about: unknown = JSON.parse(readFileSync(path.join(folder, "package.json"), "utf8"))
  const isOurs = typeof about === "object" && about !== null && "name" in about
  return isOurs && about.name === "annals" ? folder : undefined
}

const load = (): Native | undefined => {
  try {
    const root = packageRoot()
    if (root === undefined) return undefined
    // Not by `import`, which knows no compiled files.
    const require = createRequire(import.meta.url)
    const addon: Native = require(path.join(root, "build", "Release", "annals.node"))
    return addon.version === VERSION ? addon : undefined
  } catch {
    // None, or one for another machine: WebAssembly will do.
    return undefined
  }
}

/** The addon; undefined where it was not compiled, or when ANNALS_NO_NATIVE is set. */
export const native: Native | undefined =
  process.env["ANNALS_NO_NATIVE"] === undefined ? load() : undefined
