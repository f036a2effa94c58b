/**
 * The one record that fetch emits in every mode. What is done with it is the Processor's business.
 */
import type { ReceiptsForm } from "./receiptList.ts"

/** Who sent a part of a block, and when: who is caught lying is not believed about earlier batches. */
export interface PartSender {
  readonly peerId: string
  /** The batch in which it came; later batches have higher numbers. */
  readonly batchId: number
  readonly ethVersion: number
}

/**
 * Who sent what of a block. A part that is empty by its header's root was sent by nobody: for it
 * stands who sent the header.
 */
export interface BlockSenders {
  readonly header: PartSender
  readonly body: PartSender
  readonly receipts: PartSender
}

/** A block as its peers sent it; nothing of it is checked against its roots yet. */
export interface FetchedBlock {
  /** The batch in which it became whole. */
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
  readonly senders: BlockSenders
  /** From the request of its batch's headers to the block being whole. */
  readonly fetchMs: number
  /** When it was whole, on the run's clock. */
  readonly wholeAtMs: number
  /** What it holds of the budget of bytes; given back by the last stage. */
  readonly heldBytes: number
}

/** The peers that sent some part of a block, each once; the sender of its receipts first. */
export const peersOf = ({ header, body, receipts }: BlockSenders): ReadonlyArray<string> => [
  ...new Set([receipts.peerId, body.peerId, header.peerId]),
]
