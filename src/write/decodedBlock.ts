/**
 * What is written of a block beside its payload, read once. Pure.
 */
import { RlpError, RlpReader } from "../domain/rlp.ts"
import type { BlockPayload } from "./rows.ts"
import type { SyncPurpose } from "./storeProtocol.ts"
import { countsOf, tableRows, type TableRows } from "./tableRows.ts"

/** See the module. */
export interface DecodedBlock {
  /** 32 bytes. */
  readonly parentHash: Uint8Array
  /** Rows of `blocks` and of the tables that the run keeps. */
  readonly rows: ReadonlyArray<TableRows>
  readonly counts: { readonly transactions: number; readonly logs: number }
}

/** The rows of a block; undefined when it is none, which only unchecked ones can turn out to be. */
export const decodeBlock = (
  block: BlockPayload,
  { tables }: Pick<SyncPurpose, "tables">,
): DecodedBlock | undefined => {
  try {
    const blocks = tableRows("blocks", block)
    const derived = tables.map((table) => tableRows(table, block))
    return {
      parentHash: RlpReader.list(block.header).nextFixed(32),
      rows: [blocks, ...derived],
      counts: countsOf(blocks),
    }
  } catch (error) {
    if (error instanceof RlpError) return undefined
    throw error
  }
}

/** The checks of a run as `coverage` spells them. */
export const checksText = (checks: ReadonlyArray<string>): string => [...checks].sort().join(",")
