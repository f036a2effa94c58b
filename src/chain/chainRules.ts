/**
 * What of a chain's rules answers about its history depend on, kept as text by a store.
 *
 * In: a `ChainSpec`, when a store is made; later the store's notes alone, since who reads it has no
 * genesis.json at hand. Out: {@link ChainRules}. Invariant: `parseChainRules(chainRulesText(chain))`
 * are the chain's rules; a text that is none gives undefined, never a throw.
 */
import type { BlobParameters, ChainSpec } from "./chainSpec.ts"
import { equalBytes } from "../domain/hex.ts"
import { knownNetworks } from "./networks.ts"

/** A chain's rules. */
export interface ChainRules {
  /** Rising in time; empty before the first fork with blobs. */
  readonly blobSchedule: ReadonlyArray<BlobParameters>
}

/** The rules as JSON, for the store's notes; bigints as decimal strings. */
export const chainRulesText = ({ blobSchedule }: Pick<ChainSpec, "blobSchedule">): string =>
  JSON.stringify({
    blobSchedule: blobSchedule.map(({ fromTime, baseFeeUpdateFraction }) => ({
      fromTime,
      baseFeeUpdateFraction: String(baseFeeUpdateFraction),
    })),
  })

/** The opposite of {@link chainRulesText}; undefined when the text is none of its. */
export const parseChainRules = (text: string): ChainRules | undefined => {
  const value = jsonOf(text)
  const schedule = fieldOf(value, "blobSchedule")
  if (!Array.isArray(schedule)) return undefined
  const blobSchedule: Array<BlobParameters> = []
  for (const entry of schedule as ReadonlyArray<unknown>) {
    const fromTime = fieldOf(entry, "fromTime")
    const fraction = fieldOf(entry, "baseFeeUpdateFraction")
    if (typeof fromTime !== "number" || typeof fraction !== "string") return undefined
    if (!Number.isSafeInteger(fromTime) || !/^[1-9][0-9]{0,19}$/.test(fraction)) return undefined
    blobSchedule.push({ fromTime, baseFeeUpdateFraction: BigInt(fraction) })
  }
  return { blobSchedule }
}

/**
 * The rules of the chain that a store is of, by its notes: a public network's are those that this
 * program knows, which may be newer than the note; another chain's are in the note, if there is one.
 * Without either nothing is known of its blobs.
 */
export const chainRulesOf = (notes: {
  readonly chainId: bigint | number
  readonly genesisHash: Uint8Array
  /** What {@link chainRulesText} gave when the store was made. */
  readonly text: string | undefined
}): ChainRules => {
  for (const chain of knownNetworks.values()) {
    const same = chain.chainId === BigInt(notes.chainId)
    if (same && equalBytes(chain.genesisHash, notes.genesisHash)) return chain
  }
  return (
    (notes.text === undefined ? undefined : parseChainRules(notes.text)) ?? { blobSchedule: [] }
  )
}

const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const fieldOf = (value: unknown, field: string): unknown =>
  isObject(value) ? value[field] : undefined

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null
