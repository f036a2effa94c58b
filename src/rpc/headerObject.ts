/**
 * Headers as `eth_getBlockBy*`, `eth_getUncleBy*` and the subscription `newHeads` show them.
 *
 * In: the RLP of a header, and its hash. Out: the fields of execution-apis' `Block` schema that a
 * header has; those that its fork does not have yet are left out. What comes after the last field
 * that is known, and what does not have the form of the field at its place, belongs to other forks
 * or chains and is left out too.
 *
 * Sources: yellow paper 4.4; EIP-1559, 4895, 4844, 4788, 7685, 7928 and 7843 for what was appended.
 */
import { toHex0x } from "../domain/hex.ts"
import { isQuantity } from "../domain/quantity.ts"
import { RlpError, RlpReader } from "../domain/rlp.ts"
import { type JsonObject, quantityText } from "./json.ts"

/** The widths of a field: bytes, or the two kinds that have no fixed one. */
type FieldKind = number | "quantity" | "bytes"

/** The fields that every header has, in their order. */
const FIRST_FIELDS: ReadonlyArray<readonly [string, FieldKind]> = [
  ["parentHash", 32],
  ["sha3Uncles", 32],
  ["miner", 20],
  ["stateRoot", 32],
  ["transactionsRoot", 32],
  ["receiptsRoot", 32],
  ["logsBloom", 256],
  ["difficulty", "quantity"],
  ["number", "quantity"],
  ["gasLimit", "quantity"],
  ["gasUsed", "quantity"],
  ["timestamp", "quantity"],
  ["extraData", "bytes"],
  ["mixHash", 32],
  ["nonce", 8],
]

/** What forks appended, in their order. */
const LATER_FIELDS: ReadonlyArray<readonly [string, FieldKind]> = [
  ["baseFeePerGas", "quantity"],
  ["withdrawalsRoot", 32],
  ["blobGasUsed", "quantity"],
  ["excessBlobGas", "quantity"],
  ["parentBeaconBlockRoot", 32],
  ["requestsHash", 32],
  ["blockAccessListHash", 32],
  ["slotNumber", "quantity"],
]

/**
 * The object of the header whose RLP is `header` and whose hash is `hash`, as `newHeads` tells it.
 * RlpError: the bytes are no header.
 */
export const headerObject = (hash: Uint8Array, header: Uint8Array): JsonObject => {
  const fields = RlpReader.list(header)
  const object: Record<string, string> = { hash: toHex0x(hash) }
  for (const [name, kind] of FIRST_FIELDS) {
    const text = nextText(fields, kind)
    if (text === undefined) throw new RlpError(`no ${name}`, fields.itemStart)
    object[name] = text
  }
  for (const [name, kind] of LATER_FIELDS) {
    if (fields.done) break
    const text = nextText(fields, kind)
    if (text === undefined) break
    object[name] = text
  }
  return object
}

/** Steps onto the next field and gives its text; undefined when it is of another kind. */
const nextText = (fields: RlpReader, kind: FieldKind): string | undefined => {
  fields.next()
  if (fields.isList) return undefined
  if (kind === "quantity") return isQuantity(fields) ? quantityText(fields.payload()) : undefined
  const fits = kind === "bytes" || fields.end - fields.start === kind
  return fits ? toHex0x(fields.payload()) : undefined
}
