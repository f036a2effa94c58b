/**
 * The table `peers`: the peer cache of the store's chain, read and replaced as a whole.
 *
 * In and out: {@link PeerRecord}s. What a row holds is what its columns allow; whether it is a peer
 * that can be dialled is for the cache to judge.
 */
import { Effect } from "effect"
import { isEnodeInvalid, parseEnode } from "../chain/enode.ts"
import { fromHex } from "../domain/hex.ts"
import type { PeerRecord } from "../peers/peerCacheFile.ts"
import type { BindValue } from "./rowValues.ts"
import type { StoreDatabase } from "./StoreDatabase.ts"
import type { StoreError } from "./StoreError.ts"
import { numberAt, type Row, textAt } from "./storedValues.ts"
import { columnNames, insertSql } from "./tables.ts"

/** 11 values each: few enough statements for 5,000 peers. */
const ROWS_PER_STATEMENT = 50

/** Every peer in the table, in no order. */
export const readPeers = (
  database: StoreDatabase,
): Effect.Effect<ReadonlyArray<PeerRecord>, StoreError> =>
  Effect.map(database.rows(`SELECT ${columnNames("peers").join(", ")} FROM peers`), (rows) =>
    rows.map(recordOfRow),
  )

/**
 * Replaces the table, within a transaction of the caller. Of two records of one node the later
 * stays; a record whose enode is none is left out.
 */
export const writePeers = Effect.fnUntraced(function* (
  database: StoreDatabase,
  peers: ReadonlyArray<PeerRecord>,
) {
  const rows = new Map<string, ReadonlyArray<BindValue | string>>()
  for (const peer of peers) {
    const enode = parseEnode(peer.enode)
    if (!isEnodeInvalid(enode)) rows.set(enode.nodeId, rowOf(enode.nodeId, peer))
  }
  yield* database.run("DELETE FROM peers")
  const all = [...rows.values()]
  for (let at = 0; at < all.length; at += ROWS_PER_STATEMENT) {
    const some = all.slice(at, at + ROWS_PER_STATEMENT)
    yield* database.run(insertSql("peers", some.length), some.flat())
  }
})

/** In the order of the table's columns. */
const rowOf = (nodeId: string, peer: PeerRecord): ReadonlyArray<BindValue | string> => [
  fromHex(nodeId),
  peer.enode,
  peer.client,
  peer.ethVersion,
  peer.lastSeenMs,
  peer.head,
  peer.blocksServed,
  peer.failures,
  peer.roundTripMs,
  peer.bannedUntilMs,
  peer.blocksPerMinute,
]

const recordOfRow = (row: Row): PeerRecord => ({
  enode: textAt(row, 1),
  client: textAt(row, 2),
  ethVersion: numberAt(row, 3),
  lastSeenMs: numberAt(row, 4),
  head: numberOrNull(row, 5),
  blocksServed: numberAt(row, 6),
  failures: numberAt(row, 7),
  roundTripMs: numberOrNull(row, 8),
  bannedUntilMs: numberOrNull(row, 9),
  blocksPerMinute: numberOrNull(row, 10),
})

const numberOrNull = (row: Row, column: number): number | null =>
  row[column] === null ? null : numberAt(row, column)
