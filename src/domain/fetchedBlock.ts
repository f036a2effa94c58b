/**
 * The one record that fetch emits in every mode. What is done with it is the Processor's business.
 */
import type { ReceiptsForm } from "./receiptList.ts"

/** A block as its peers sent it; nothing of it is checked against its roots yet. */
export interface FetchedBlock {
  /** The batch that it was fetched in. */
  readonly batchId: number
  readonly blockNumber: number
  /** keccak256 of `header`, computed once. 32 bytes. */
  readonly hash: Uint8Array
  /** RLP of the header. */
  readonly header: Uint8Array
  /** RLP of `[transactions, uncles, withdrawals?]`; undefined where the mode asks for none. */
  readonly body: Uint8Array | undefined
  /** RLP of the list of receipts, in the form in which it came; an empty list needs no request. */
  readonly receipts: Uint8Array
  readonly receiptsForm: ReceiptsForm
  /** Who sent it. */
  readonly peerId: string
  readonly ethVersion: number
  /** From the request of its batch's headers to the block being whole. */
  readonly fetchMs: number
  /** When it was whole, on the run's clock. */
  readonly wholeAtMs: number
  /** What it holds of the budget of bytes; given back by the last stage. */
  readonly heldBytes: number
}
