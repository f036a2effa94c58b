/**
 * What a fuzz target is: bytes in, and nothing out but the promise that the decoder gave a value or
 * refused with an error of its own. Whatever else `run` throws is a finding.
 */
import type { Material } from "./material.ts"

/** How inputs of a target are best altered. */
export type InputKind = "bytes" | "rlp" | "text"

/** One decoder, or a few that read the same bytes. */
export interface FuzzTarget {
  /** In lower case, with dashes; names folders. */
  readonly name: string
  readonly kind: InputKind
  /** Real inputs, and made ones of forms that real ones lack; deterministic. */
  readonly seeds: (material: Material) => ReadonlyArray<Uint8Array>
  /** Pieces of text that are worth putting in; for targets of the kind `text`. */
  readonly tokens?: ReadonlyArray<string>
  /** Milliseconds of CPU that an input may take; {@link DEFAULT_CPU_MS} when not given. */
  readonly cpuMs?: number
  /** MiB that an input may take; {@link DEFAULT_GROWTH_MIB} when not given. */
  readonly growthMib?: number
  /** Inputs of the short run in the tests, where they take long; {@link DEFAULT_TEST_INPUTS}. */
  readonly testInputs?: number
  /** Runs the decoder. Throws, or rejects, for what must not be. */
  readonly run: (input: Uint8Array) => void | Promise<void>
}

/** More than ten times what 64 KiB take the slowest decoder: what takes longer is not linear. */
export const DEFAULT_CPU_MS = 50

/** A thousand times the longest input. */
export const DEFAULT_GROWTH_MIB = 64

/** All targets together take a quarter of a minute. */
export const DEFAULT_TEST_INPUTS = 3_000

/** No input is longer. Most messages of peers are shorter, and work must be linear anyway. */
export const MAX_INPUT_BYTES = 64 * 1024

/** Two ways to the same answer gave different ones, or a promise of the decoder was not kept. */
export class Disagreement extends Error {
  override readonly name = "Disagreement"
}

/** Demands what a decoder promises. */
export function agree(holds: boolean, promise: string): asserts holds {
  if (!holds) throw new Disagreement(promise)
}

/** Demands that two byte arrays are equal. */
export const agreeBytes = (actual: Uint8Array, expected: Uint8Array, promise: string): void => {
  if (Buffer.compare(actual, expected) === 0) return
  const at = actual.findIndex((byte, index) => byte !== expected[index])
  throw new Disagreement(
    `${promise}: ${actual.length} bytes for ${expected.length}, different from byte ${at} on`,
  )
}

/** A class of errors by which a decoder may refuse. */
type ErrorClass = abstract new (...fields: never) => Error

/** What `read` gives; undefined when it refuses with an error of one of these classes. */
export const attempt = <A>(read: () => A, ...allowed: ReadonlyArray<ErrorClass>): A | undefined => {
  try {
    return read()
  } catch (error) {
    if (allowed.some((each) => error instanceof each)) return undefined
    throw error
  }
}

/** Text of bytes and back, one character a byte where that is possible. */
export const textOf = (input: Uint8Array): string => Buffer.from(input).toString("utf8")

/** The bytes of a text. */
export const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "utf8"))
