/**
 * The flags of `annals verify` and what they mean.
 *
 * In: the raw values of {@link verifyFlags}. Out: {@link VerifyOptions}. Nothing can be wrong with
 * them together.
 */
import { accept, type Checked } from "./checked.ts"
import type { Flags, RawOptions } from "./flags.ts"
import { storeDirectoryFlag } from "./statusOptions.ts"

/** The flags of `annals verify`. */
export const verifyFlags = {
  json: { kind: "switch", description: "What was found as JSON on stdout." },
  "data-dir": storeDirectoryFlag,
} satisfies Flags

/** What is to be verified. */
export interface VerifyOptions {
  readonly dataDir: string
  /** JSON in place of text. */
  readonly json: boolean
}

/** The options that the raw values ask for. */
export const verifyOptions = (raw: RawOptions<typeof verifyFlags>): Checked<VerifyOptions> =>
  accept({ dataDir: raw["data-dir"] ?? storeDirectoryFlag.default, json: raw.json })
