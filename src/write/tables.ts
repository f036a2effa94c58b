/**
 * The tables of the store and their columns, in the order in which rows bind them. `schema.ts`
 * makes them, `rows.ts` fills those that are derived from payloads. Names follow cryo
 * (paradigmxyz/cryo, `crates/freeze/src/datasets`), so that people's queries carry over.
 *
 * How values are kept:
 * - `integer`: below 2^53 in any block that passed its checks; bound as a number, kept as INTEGER.
 * - `wide`: an integer that a hostile chain may make as large as it likes (below 2^256). Below
 *   2^63 it is an INTEGER; from there on, where SQLite has none, a BLOB of 32 bytes, big-endian.
 *   SQLite sorts every BLOB behind every INTEGER, so the column still sorts by value.
 * - `blob`: hashes, addresses, 256-bit numbers (32 bytes, big-endian), raw bytes, RLP.
 * - `text`.
 */

/** How a column's values are kept; see the module. */
export type ColumnKind = "integer" | "wide" | "blob" | "text"

/** The fields of a header, in `blocks` and in `uncles`, without its number and hash. */
const headerColumns = {
  parent_hash: "blob",
  uncles_hash: "blob",
  author: "blob",
  state_root: "blob",
  transactions_root: "blob",
  receipts_root: "blob",
  logs_bloom: "blob",
  difficulty: "wide",
  gas_limit: "wide",
  gas_used: "wide",
  timestamp: "wide",
  extra_data: "blob",
  mix_hash: "blob",
  /** 8 bytes. */
  nonce: "blob",
  // From here on NULL before the fork that brought the field.
  base_fee_per_gas: "wide",
  withdrawals_root: "blob",
  blob_gas_used: "wide",
  excess_blob_gas: "wide",
  parent_beacon_block_root: "blob",
  requests_hash: "blob",
  /** The RLP items of fields that annals does not know, one after the other; NULL: none. */
  extra_fields: "blob",
} as const

/** Every table with its columns. */
export const tables = {
  /** What came from the peers, as checked; everything else is derived from it. */
  payloads: {
    block_number: "integer",
    header: "blob",
    body: "blob",
    /** In form 69. */
    receipts: "blob",
    /** How body and receipts are packed, by `payloadCodec.ts`; 0: as they are. */
    codec: "integer",
  },
  blocks: {
    block_number: "integer",
    block_hash: "blob",
    ...headerColumns,
    /** Bytes of the block's RLP, `[header, transactions, uncles, withdrawals?]`. */
    size: "integer",
    transaction_count: "integer",
    log_count: "integer",
    uncle_count: "integer",
    /** NULL before Shanghai. */
    withdrawal_count: "integer",
  },
  transactions: {
    block_number: "integer",
    transaction_index: "integer",
    transaction_hash: "blob",
    transaction_type: "integer",
    /** Of legacy transactions by EIP-155; NULL for those that hold on every chain. */
    chain_id: "wide",
    nonce: "wide",
    /** NULL unless senders were asked for, and where the signature recovers to none. */
    from_address: "blob",
    /** NULL for a creation. */
    to_address: "blob",
    value: "blob",
    input: "blob",
    n_input_zero_bytes: "integer",
    /** Bytes of the transaction as its hash takes it. */
    n_rlp_bytes: "integer",
    gas_limit: "wide",
    /** The difference of cumulative gas; NULL when that falls, which no execution does. */
    gas_used: "wide",
    cumulative_gas_used: "wide",
    /** Wei per gas that was paid: min(max_fee, base_fee + max_priority_fee) from type 2 on. */
    gas_price: "wide",
    max_fee_per_gas: "wide",
    max_priority_fee_per_gas: "wide",
    max_fee_per_blob_gas: "wide",
    /** 131,072 for each blob. */
    blob_gas_used: "integer",
    /** 1 or 0; NULL before Byzantium. */
    success: "integer",
    /** State root after the transaction; NULL from Byzantium on. */
    post_state: "blob",
    /** Of a creation; NULL for others, and where the sender is not known. */
    contract_address: "blob",
    log_count: "integer",
    access_list: "blob",
    blob_versioned_hashes: "blob",
    authorization_list: "blob",
    /** As the transaction has it: 27, 28, EIP-155's, or the y parity of typed ones. */
    v: "wide",
    r: "blob",
    s: "blob",
    /**
     * The whole transaction where it is of a type or shape that annals does not know, NULL
     * otherwise. Such a row has no other fields of the transaction but hash, type and size.
     */
    raw: "blob",
  },
  logs: {
    block_number: "integer",
    transaction_index: "integer",
    /** Counted through the block. */
    log_index: "integer",
    address: "blob",
    topic0: "blob",
    topic1: "blob",
    topic2: "blob",
    topic3: "blob",
    data: "blob",
  },
  withdrawals: {
    block_number: "integer",
    /** Place in the block, from 0. */
    withdrawal_position: "integer",
    /** EIP-4895's index, counted through the chain. */
    withdrawal_index: "wide",
    validator_index: "wide",
    address: "blob",
    /** Gwei. */
    amount: "wide",
  },
  uncles: {
    /** The block that names the uncle. */
    block_number: "integer",
    /** Place in that block, from 0. */
    uncle_index: "integer",
    uncle_hash: "blob",
    uncle_number: "wide",
    ...headerColumns,
  },
  /** Which blocks a dataset (`payloads`, or a table's name) has, and how well they are checked. */
  coverage: {
    dataset: "text",
    from_block: "integer",
    /** Inclusive. */
    to_block: "integer",
    /** 1 when a trusted hash links down to the range, else 0. */
    anchored: "integer",
    /** Names of the checks that were done, as `--verify` has them, sorted, with commas between. */
    checks: "text",
  },
  /** Blocks that were taken out because the chain went another way. */
  reorgs: {
    reorg_id: "integer",
    /** Unix milliseconds. */
    noticed_at_ms: "integer",
    /** The blocks that were taken out, inclusive. */
    from_block: "integer",
    to_block: "integer",
    /** The block at `to_block` that was taken out, and the one at `from_block` that came. */
    old_hash: "blob",
    new_hash: "blob",
  },
  /** Peers to try first at the next start. */
  peers: {
    /** Public key, 64 bytes. */
    peer_id: "blob",
    enode: "text",
    /** What it calls itself. */
    client: "text",
    /** Of its last session. */
    eth_version: "integer",
    /** Unix milliseconds. */
    last_seen_at_ms: "integer",
    /** The highest block of which it served the header; NULL: not measured. */
    head_block: "integer",
    blocks_served: "integer",
    /** Failed requests and dials. */
    failures: "integer",
    /** Moving average; NULL: not measured. */
    round_trip_ms: "integer",
    /** Unix milliseconds; NULL: no ban. */
    banned_until_ms: "integer",
    /** Of the time in which it had a batch, a moving average; NULL: never served. */
    blocks_per_minute: "integer",
  },
  /** Facts of the whole store, by {@link metaKeys}. */
  meta: {
    key: "text",
    value: "text",
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, ColumnKind>>>>

/** The name of a table. */
export type TableName = keyof typeof tables

/** The name of a column of the table `T`. */
export type ColumnName<T extends TableName> = keyof (typeof tables)[T] & string

/** Tables that are derived from payloads on request, the values of `--tables`. */
export const optionalTables = ["transactions", "logs", "withdrawals", "uncles"] as const

/** See {@link optionalTables}. */
export type OptionalTable = (typeof optionalTables)[number]

/** Tables whose rows `rows.ts` makes: `blocks` is always kept. */
export type RowTable = "blocks" | OptionalTable

/** Keys of `meta`; hashes are 0x and hex, numbers decimal. */
export const metaKeys = {
  /** Another one for every file that is made: 32 hex digits, without 0x. */
  storeId: "store_id",
  chainId: "chain_id",
  genesisHash: "genesis_hash",
  network: "network",
  /** What `chainRulesText` gave at the last sync. */
  chainRules: "chain_rules",
  /** The highest stored blocks that a trusted head has called safe, and finalized. */
  safeBlock: "safe_block",
  finalizedBlock: "finalized_block",
} as const

/** The columns of a table, in the order of its rows' values. */
export const columnNames = (table: TableName): ReadonlyArray<string> => Object.keys(tables[table])

/** How the columns of a table are kept, in the same order. */
export const columnKinds = (table: TableName): ReadonlyArray<ColumnKind> =>
  Object.values(tables[table])

/**
 * The statement that inserts `rowCount` rows at once, their values bound one row after the other.
 * 25 to 50 rows a statement are the fastest; 32,766 values are the most that SQLite binds.
 */
export const insertSql = (table: TableName, rowCount: number): string => {
  const names = columnNames(table)
  const row = `(${names.map(() => "?").join(",")})`
  return `INSERT INTO ${table} (${names.join(",")}) VALUES ${Array(rowCount).fill(row).join(",")}`
}
