/**
 * The flags of `annals status` and what they mean.
 *
 * In: the raw values of {@link statusFlags}. Out: {@link StatusOptions}. Nothing can be wrong with
 * them together.
 */
import { accept, type Checked } from "./checked.ts"
import type { Flags, RawOptions } from "./flags.ts"

/** Where the store is that a command looks into. */
export const storeDirectoryFlag = {
  kind: "text",
  placeholder: "DIRECTORY",
  description: "Where the store is kept.",
  default: "annals-data",
} as const

/** The flags of `annals status`. */
export const statusFlags = {
  json: { kind: "switch", description: "The status as JSON on stdout." },
  "data-dir": storeDirectoryFlag,
} satisfies Flags

/** What a status is asked of. */
export interface StatusOptions {
  readonly dataDir: string
  /** JSON in place of text. */
  readonly json: boolean
}

/** The options that the raw values ask for. */
export const statusOptions = (raw: RawOptions<typeof statusFlags>): Checked<StatusOptions> =>
  accept({ dataDir: raw["data-dir"] ?? storeDirectoryFlag.default, json: raw.json })
