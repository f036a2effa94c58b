/**
 * All that a header says of its receipts, told in one walk over them: for checking, where
 * `receipts.ts` would walk three times and allocate on the way.
 *
 * In: the RLP of a block's list of receipts, in either form. Out: a {@link ReceiptsDigest}.
 *
 * Invariants: each receipt is written once, in consensus form, straight into the memory in which
 * the trie hashes it; in form 69 the bloom is computed in its place there. Every log has its form,
 * so that whoever reads a list that was digested finds nothing wrong with it. Whatever breaks a
 * form is an `RlpError`, and who sent the bytes is to blame. Work and memory are linear in the
 * length of the list.
 */
import { BLOOM_BYTES, type BloomFiller, bloomFiller } from "./bloom.ts"
import { LogCursor, TOPIC_STRIDE } from "./logs.ts"
import { countReceipts, ReceiptCursor, type ReceiptsForm } from "./receiptList.ts"
import { BLOOM_PREFIX } from "./receipts.ts"
import { prefixBytes, RlpError, RlpReader, writePrefix } from "./rlp.ts"
import { MAX_TRIE_VALUES, type OrderedTrie, orderedTrie } from "./trieRoot.ts"

/** What is asked for beside counts and gas. */
export interface DigestWants {
  readonly root: boolean
  readonly blooms: boolean
}

/** What a list of receipts comes to. */
export interface ReceiptsDigest {
  /** EIP-2718 type of each receipt; as many as there are receipts. */
  readonly types: Uint8Array
  readonly logCount: number
  /** Of the last receipt, which is the block's gas used; 0 for an empty list. */
  readonly cumulativeGas: number
  /** The first receipt whose cumulative gas is below that of the one before it; -1 for none. */
  readonly fallingGas: number
  /** The receiptsRoot, 32 bytes; undefined when it was not asked for. */
  readonly root: Uint8Array | undefined
  /** The filter of all logs, computed from them, 256 bytes; undefined when not asked for. */
  readonly bloom: Uint8Array | undefined
  /** The first receipt that carries a bloom that is not that of its logs; -1 for none. */
  readonly wrongBloom: number
}

/** Digests a list of receipts. More than {@link MAX_TRIE_VALUES} of them are an `RlpError`. */
export const digestReceipts = (
  list: Uint8Array,
  form: ReceiptsForm,
  wants: DigestWants,
): ReceiptsDigest => {
  const count = countReceipts(list)
  if (count > MAX_TRIE_VALUES) throw new RlpError("more receipts than any block has", 0)
  const receipts = new ReceiptCursor(RlpReader.list(list), form)
  const types = new Uint8Array(count)
  const sink = makeSink(list, form, count, wants)
  let logCount = 0
  let cumulativeGas = 0
  let fallingGas = -1
  for (let index = 0; receipts.next(); index++) {
    types[index] = receipts.type
    const gas = receipts.cumulativeGas()
    if (gas < cumulativeGas && fallingGas < 0) fallingGas = index
    cumulativeGas = gas
    logCount += sink.add(receipts, index)
  }
  return { types, logCount, cumulativeGas, fallingGas, ...sink.end() }
}

/** Takes receipts and turns them into a root and blooms. */
interface Sink {
  /** Takes one receipt and gives the number of its logs. */
  add(receipt: ReceiptCursor, index: number): number
  end(): Pick<ReceiptsDigest, "root" | "bloom" | "wrongBloom">
}

const makeSink = (
  list: Uint8Array,
  form: ReceiptsForm,
  count: number,
  wants: DigestWants,
): Sink => {
  if (form === 68) return new CarriedSink(list, count, wants)
  return wants.root
    ? new RebuildingSink(list, count, wants.blooms)
    : new BloomSink(list, wants.blooms)
}

/** Form 69: receipts are rebuilt, and their blooms computed, in the trie's memory. */
class RebuildingSink implements Sink {
  readonly #list: Uint8Array
  readonly #wantsBloom: boolean
  readonly #trie: OrderedTrie = orderedTrie()
  readonly #blooms: BloomFiller = bloomFiller()

  constructor(list: Uint8Array, count: number, wantsBloom: boolean) {
    this.#list = list
    this.#wantsBloom = wantsBloom
    this.#trie.start(count)
    this.#blooms.start(list)
  }

  add(receipt: ReceiptCursor): number {
    const { headStart, headEnd, logsItem, logsStart, logsEnd, type } = receipt
    const list = this.#list
    const payload = headEnd - headStart + BLOOM_ITEM_BYTES + logsEnd - logsItem
    const typed = type === 0 ? 0 : 1
    const length = typed + prefixBytes(payload) + payload
    // What waits for its bits may move, or be hashed, when room is made.
    if (!this.#trie.fits(length)) this.#blooms.settle(this.#trie.bytes)
    let at = this.#trie.room(length)
    const { bytes } = this.#trie
    if (typed === 1) bytes[at++] = type
    at = writePrefix(bytes, at, payload, 0xc0)
    for (let i = headStart; i < headEnd; i++) bytes[at++] = list[i]!
    bytes.set(BLOOM_PREFIX, at)
    at += BLOOM_PREFIX.length
    bytes.fill(0, at, at + BLOOM_BYTES)
    bytes.set(list.subarray(logsItem, logsEnd), at + BLOOM_BYTES)
    return addLogs(this.#blooms, bytes, at, list, logsStart, logsEnd)
  }

  end(): ReturnType<Sink["end"]> {
    this.#blooms.settle(this.#trie.bytes)
    const bloom = this.#wantsBloom ? this.#blooms.total.slice() : undefined
    return { root: this.#trie.root(), bloom, wrongBloom: -1 }
  }
}

/** Form 68: the root is of the receipts as they came, and their blooms are held against the logs. */
class CarriedSink implements Sink {
  readonly #list: Uint8Array
  readonly #wants: DigestWants
  readonly #trie: OrderedTrie = orderedTrie()
  readonly #blooms: BloomFiller = bloomFiller()
  /** The filters of the receipts as their logs have them, one after the other. */
  readonly #computed: Uint8Array
  /** Where in the list each receipt carries its own. */
  readonly #carriedAt: Int32Array

  constructor(list: Uint8Array, count: number, wants: DigestWants) {
    // Before room is made: a receipt of this form is longer than its bloom.
    if (count * BLOOM_BYTES > list.length) throw new RlpError("receipts without blooms", 0)
    this.#list = list
    this.#wants = wants
    this.#computed = new Uint8Array(wants.blooms ? count * BLOOM_BYTES : 0)
    this.#carriedAt = new Int32Array(wants.blooms ? count : 0)
    this.#blooms.start(list)
    if (wants.root) this.#trie.start(count)
  }

  add(receipt: ReceiptCursor, index: number): number {
    const { itemEnd, valueStart, bloomStart, logsStart, logsEnd } = receipt
    const list = this.#list
    if (this.#wants.root) this.#trie.add(list, valueStart, itemEnd)
    if (!this.#wants.blooms) return countLogs(list, logsStart, logsEnd)
    this.#carriedAt[index] = bloomStart
    return addLogs(this.#blooms, this.#computed, index * BLOOM_BYTES, list, logsStart, logsEnd)
  }

  end(): ReturnType<Sink["end"]> {
    const root = this.#wants.root ? this.#trie.root() : undefined
    if (!this.#wants.blooms) return { root, bloom: undefined, wrongBloom: -1 }
    this.#blooms.settle(this.#computed)
    return { root, bloom: this.#blooms.total.slice(), wrongBloom: this.#findWrong() }
  }

  #findWrong(): number {
    const list = Buffer.from(this.#list.buffer, this.#list.byteOffset, this.#list.length)
    const end = this.#carriedAt.length
    for (let index = 0; index < end; index++) {
      const at = this.#carriedAt[index]!
      const from = index * BLOOM_BYTES
      if (list.compare(this.#computed, from, from + BLOOM_BYTES, at, at + BLOOM_BYTES) !== 0) {
        return index
      }
    }
    return -1
  }
}

/** Form 69 without a root: the filter of all logs, or nothing but the form. */
class BloomSink implements Sink {
  readonly #list: Uint8Array
  readonly #wanted: boolean
  readonly #blooms: BloomFiller = bloomFiller()
  readonly #each = new Uint8Array(BLOOM_BYTES)

  constructor(list: Uint8Array, wanted: boolean) {
    this.#list = list
    this.#wanted = wanted
    this.#blooms.start(list)
  }

  add({ logsStart, logsEnd }: ReceiptCursor): number {
    if (!this.#wanted) return countLogs(this.#list, logsStart, logsEnd)
    return addLogs(this.#blooms, this.#each, 0, this.#list, logsStart, logsEnd)
  }

  end(): ReturnType<Sink["end"]> {
    this.#blooms.settle(this.#each)
    const bloom = this.#wanted ? this.#blooms.total.slice() : undefined
    return { root: undefined, bloom, wrongBloom: -1 }
  }
}

const BLOOM_ITEM_BYTES = BLOOM_PREFIX.length + BLOOM_BYTES

const ADDRESS_BYTES = 20
const TOPIC_BYTES = 32

/** Adds the logs in `list[from, to)` to the filter at `target[at]`, and gives their number. */
const addLogs = (
  blooms: BloomFiller,
  target: Uint8Array,
  at: number,
  list: Uint8Array,
  from: number,
  to: number,
): number => {
  if (from === to) return 0
  const logs = new LogCursor(list, from, to)
  let count = 0
  while (logs.next()) {
    const { addressStart, topicsStart, topicCount } = logs
    blooms.add(target, at, addressStart, ADDRESS_BYTES)
    for (let topic = 0; topic < topicCount; topic++) {
      blooms.add(target, at, topicsStart + TOPIC_STRIDE * topic, TOPIC_BYTES)
    }
    count += 1
  }
  return count
}

/** Walks the logs in `list[from, to)` for their form alone, and gives their number. */
const countLogs = (list: Uint8Array, from: number, to: number): number => {
  const logs = new LogCursor(list, from, to)
  let count = 0
  while (logs.next()) count += 1
  return count
}
