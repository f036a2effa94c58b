/**
 * What a client holds for the chain that it is only told of: heads, and logs with `removed`.
 *
 * In: what filters and subscriptions say, in their order. Out: the chain that follows from it. What
 * does not fit to what was told before is an error at once: a head on no known block, a log that is
 * taken back and was never told, out of turn or with other content, one that is told twice.
 */
import { isDeepStrictEqual } from "node:util"
import type { Log } from "viem"

/** A head as it is told. */
export interface ToldHead {
  readonly number: number
  readonly hash: string
  /** Undefined where only the hash is told. */
  readonly parentHash?: string
}

/** Blocks, each on the one below it. */
export class ToldHeads {
  /** All that was told, in its order. */
  readonly told: Array<string> = []
  readonly #hashes: Array<string>
  readonly #first: number

  /** `hash` is the block `number`, on which the first head stands. */
  constructor(number: number, hash: string) {
    this.#first = number
    this.#hashes = [hash]
  }

  /** From the first block that was told on. */
  get hashes(): ReadonlyArray<string> {
    return this.#hashes.slice(1)
  }

  /** A head takes the place of all blocks from its number on. */
  take({ number, hash, parentHash }: ToldHead): void {
    this.told.push(hash)
    const parent = this.#hashes[number - this.#first - 1]
    if (parent === undefined || (parentHash !== undefined && parentHash !== parent)) {
      throw new Error(`head ${number} ${hash} stands on no block that was told`)
    }
    this.#hashes.length = number - this.#first
    this.#hashes.push(hash)
  }
}

/** Logs that are, in the order of the chain. */
export class ToldLogs {
  /** Logs that were taken back, as they were told first. */
  readonly removed: Array<Log> = []
  readonly #logs: Array<Log> = []

  get logs(): ReadonlyArray<Log> {
    return this.#logs
  }

  take(log: Log): void {
    if (log.removed) this.#takeBack(log)
    else this.#add(log)
  }

  /** Only of the newest block that there are logs of. */
  #takeBack(log: Log): void {
    const { blockNumber, blockHash, logIndex } = log
    const newest = this.#logs.at(-1)
    const at = this.#logs.findIndex((one) => isAt(one, blockHash, logIndex))
    if (newest?.blockNumber !== blockNumber || at < 0) {
      throw new Error(`log ${logIndex} of block ${blockNumber} ${blockHash} is taken back too soon`)
    }
    const [known] = this.#logs.splice(at, 1)
    if (!isDeepStrictEqual({ ...log, removed: false }, known)) {
      throw new Error(`log ${logIndex} of block ${blockNumber} is taken back with other content`)
    }
    this.removed.push(known!)
  }

  /** Only after all logs that are. */
  #add(log: Log): void {
    const newest = this.#logs.at(-1)
    if (newest !== undefined && !isBefore(newest, log)) {
      throw new Error(`log ${log.logIndex} of block ${log.blockNumber} is told out of turn`)
    }
    this.#logs.push(log)
  }
}

const isAt = (log: Log, blockHash: Log["blockHash"], logIndex: Log["logIndex"]): boolean =>
  log.blockHash === blockHash && log.logIndex === logIndex

const isBefore = (a: Log, b: Log): boolean =>
  a.blockNumber === b.blockNumber ? a.logIndex! < b.logIndex! : a.blockNumber! < b.blockNumber!
