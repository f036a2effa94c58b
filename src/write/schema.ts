/**
 * The schema of the store, as a list of migrations: plain data, which the store runs in order and
 * each once. What the columns mean is in `tables.ts`.
 *
 * Invariants: a migration that was released never changes, what comes later is a new one; after
 * all of them the tables are those of `tables.ts`, column by column (tested). A migration that
 * adds columns drops the views of {@link viewSql} and makes them again.
 *
 * Choices: STRICT, except where a column may hold an integer of 2^63 or more, which is kept as a
 * BLOB (kind `wide`) and which STRICT would refuse. Rows are found by block: the primary key
 * starts with its number, and keeps a block from being inserted twice. What is a mere length of a
 * column is a virtual column, which takes no room. Indexes on addresses and topics are not kept
 * row by row: they would cost more than the rows. Blocks are found by hash as well, since peers ask
 * for bodies and receipts by nothing else: see {@link HASH_INDEX}.
 */
import { columnKinds, columnNames, type ColumnKind, type RowTable } from "./tables.ts"

/** One step from one version of the schema to the next. */
export interface Migration {
  /** Rising from 1: the version of the schema once it has run. */
  readonly id: number
  readonly name: string
  /** One statement each. */
  readonly statements: ReadonlyArray<string>
}

/** The statement that makes a table's view `…_hex`: blobs as lower-case text with 0x. */
export const viewSql = (table: RowTable | "reorgs"): string => {
  const kinds = columnKinds(table)
  const columns = columnNames(table).map((name, at) =>
    hexColumn(`${table}.${name}`, name, kinds[at]!),
  )
  const more = VIRTUAL_COLUMNS[table] ?? []
  const lookUp = table === "logs"
  if (lookUp)
    columns.splice(2, 0, hexColumn("transactions.transaction_hash", "transaction_hash", "blob"))
  const all = [...columns, ...more].join(",\n  ")
  return `CREATE VIEW ${table}_hex AS SELECT\n  ${all}\nFROM ${table}${lookUp ? LOOK_UP : ""}`
}

const VIRTUAL_COLUMNS: Readonly<Partial<Record<string, ReadonlyArray<string>>>> = {
  transactions: ["n_input_bytes", "n_input_nonzero_bytes"],
  logs: ["n_data_bytes"],
}

/** NULL where the transactions of the block are not in their table. */
const LOOK_UP = `
LEFT JOIN transactions
  ON transactions.block_number = logs.block_number
  AND transactions.transaction_index = logs.transaction_index`

/** `hex` of NULL is an empty text in SQLite, hence the CASE. */
const hexColumn = (value: string, name: string, kind: ColumnKind): string => {
  if (kind !== "blob" && kind !== "wide") return `${value} AS ${name}`
  const text = `'0x' || lower(hex(${value}))`
  return `CASE typeof(${value}) WHEN 'blob' THEN ${text} ELSE ${value} END AS ${name}`
}

const HEADER_COLUMNS = `
  parent_hash BLOB NOT NULL,
  uncles_hash BLOB NOT NULL,
  author BLOB NOT NULL,
  state_root BLOB NOT NULL,
  transactions_root BLOB NOT NULL,
  receipts_root BLOB NOT NULL,
  logs_bloom BLOB NOT NULL,
  difficulty INTEGER NOT NULL,
  gas_limit INTEGER NOT NULL,
  gas_used INTEGER NOT NULL,
  timestamp INTEGER NOT NULL,
  extra_data BLOB NOT NULL,
  mix_hash BLOB NOT NULL,
  nonce BLOB NOT NULL,
  base_fee_per_gas INTEGER,
  withdrawals_root BLOB,
  blob_gas_used INTEGER,
  excess_blob_gas INTEGER,
  parent_beacon_block_root BLOB,
  requests_hash BLOB,
  extra_fields BLOB`

const HISTORY = [
  `CREATE TABLE payloads (
  block_number INTEGER PRIMARY KEY,
  header BLOB NOT NULL,
  body BLOB NOT NULL,
  receipts BLOB NOT NULL,
  codec INTEGER NOT NULL
) STRICT`,
  `CREATE TABLE blocks (
  block_number INTEGER PRIMARY KEY,
  block_hash BLOB NOT NULL,${HEADER_COLUMNS},
  size INTEGER NOT NULL,
  transaction_count INTEGER NOT NULL,
  log_count INTEGER NOT NULL,
  uncle_count INTEGER NOT NULL,
  withdrawal_count INTEGER
)`,
  `CREATE TABLE transactions (
  block_number INTEGER NOT NULL,
  transaction_index INTEGER NOT NULL,
  transaction_hash BLOB NOT NULL,
  transaction_type INTEGER NOT NULL,
  chain_id INTEGER,
  nonce INTEGER,
  from_address BLOB,
  to_address BLOB,
  value BLOB,
  input BLOB,
  n_input_zero_bytes INTEGER,
  n_rlp_bytes INTEGER NOT NULL,
  gas_limit INTEGER,
  gas_used INTEGER,
  cumulative_gas_used INTEGER NOT NULL,
  gas_price INTEGER,
  max_fee_per_gas INTEGER,
  max_priority_fee_per_gas INTEGER,
  max_fee_per_blob_gas INTEGER,
  blob_gas_used INTEGER,
  success INTEGER,
  post_state BLOB,
  contract_address BLOB,
  log_count INTEGER NOT NULL,
  access_list BLOB,
  blob_versioned_hashes BLOB,
  authorization_list BLOB,
  v INTEGER,
  r BLOB,
  s BLOB,
  raw BLOB,
  n_input_bytes INTEGER GENERATED ALWAYS AS (length(input)) VIRTUAL,
  n_input_nonzero_bytes INTEGER GENERATED ALWAYS AS (length(input) - n_input_zero_bytes) VIRTUAL,
  PRIMARY KEY (block_number, transaction_index)
)`,
  `CREATE TABLE logs (
  block_number INTEGER NOT NULL,
  transaction_index INTEGER NOT NULL,
  log_index INTEGER NOT NULL,
  address BLOB NOT NULL,
  topic0 BLOB,
  topic1 BLOB,
  topic2 BLOB,
  topic3 BLOB,
  data BLOB NOT NULL,
  n_data_bytes INTEGER GENERATED ALWAYS AS (length(data)) VIRTUAL,
  PRIMARY KEY (block_number, log_index)
) STRICT`,
  `CREATE TABLE withdrawals (
  block_number INTEGER NOT NULL,
  withdrawal_position INTEGER NOT NULL,
  withdrawal_index INTEGER NOT NULL,
  validator_index INTEGER NOT NULL,
  address BLOB NOT NULL,
  amount INTEGER NOT NULL,
  PRIMARY KEY (block_number, withdrawal_position)
)`,
  `CREATE TABLE uncles (
  block_number INTEGER NOT NULL,
  uncle_index INTEGER NOT NULL,
  uncle_hash BLOB NOT NULL,
  uncle_number INTEGER NOT NULL,${HEADER_COLUMNS},
  PRIMARY KEY (block_number, uncle_index)
)`,
]

const ACCOUNT = [
  `CREATE TABLE coverage (
  dataset TEXT NOT NULL,
  from_block INTEGER NOT NULL,
  to_block INTEGER NOT NULL CHECK (to_block >= from_block),
  anchored INTEGER NOT NULL CHECK (anchored IN (0, 1)),
  checks TEXT NOT NULL,
  PRIMARY KEY (dataset, from_block)
) STRICT, WITHOUT ROWID`,
  `CREATE TABLE reorgs (
  reorg_id INTEGER PRIMARY KEY,
  noticed_at_ms INTEGER NOT NULL,
  from_block INTEGER NOT NULL,
  to_block INTEGER NOT NULL CHECK (to_block >= from_block),
  old_hash BLOB NOT NULL,
  new_hash BLOB NOT NULL
) STRICT`,
  `CREATE TABLE peers (
  peer_id BLOB PRIMARY KEY NOT NULL,
  enode TEXT NOT NULL,
  client TEXT,
  eth_version INTEGER,
  earliest_block INTEGER,
  latest_block INTEGER,
  last_seen_at_ms INTEGER,
  last_failure_at_ms INTEGER,
  failures INTEGER NOT NULL DEFAULT 0
) STRICT`,
  `CREATE TABLE meta (
  key TEXT PRIMARY KEY NOT NULL,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID`,
]

/** Made anew: nothing had ever been written to the first one. */
const PEER_CACHE = [
  "DROP TABLE peers",
  `CREATE TABLE peers (
  peer_id BLOB PRIMARY KEY NOT NULL,
  enode TEXT NOT NULL,
  client TEXT NOT NULL,
  eth_version INTEGER NOT NULL,
  last_seen_at_ms INTEGER NOT NULL,
  head_block INTEGER,
  blocks_served INTEGER NOT NULL,
  failures INTEGER NOT NULL,
  round_trip_ms INTEGER,
  banned_until_ms INTEGER
) STRICT`,
]

const PEER_PACE = ["ALTER TABLE peers ADD COLUMN blocks_per_minute INTEGER"]

/**
 * By the first 8 bytes of the hash: 18 bytes a block in place of 45, and as good as unique. Hashes
 * come in no order, so that in a large store each block dirties a page of its own. Measured, in
 * processor time a block: 2 to 4 µs in a store of 20,000 blocks, 20 at 2 million, 34 at 10
 * million; a lookup takes 7 µs. A query has to use this very expression ({@link BLOCK_BY_HASH}).
 */
const HASH_INDEX = ["CREATE INDEX blocks_by_hash ON blocks (substr(block_hash, 1, 8))"]

/** The number of the block with a hash: binds the hash twice. */
export const BLOCK_BY_HASH =
  "SELECT block_number FROM blocks WHERE substr(block_hash, 1, 8) = substr(?, 1, 8) AND block_hash = ?"

const VIEWED = ["blocks", "transactions", "logs", "withdrawals", "uncles", "reorgs"] as const

/** All migrations, in the order of their ids. */
export const migrations: ReadonlyArray<Migration> = [
  { id: 1, name: "history", statements: [...HISTORY, ...ACCOUNT, ...VIEWED.map(viewSql)] },
  { id: 2, name: "peer_cache", statements: PEER_CACHE },
  { id: 3, name: "hash_index", statements: HASH_INDEX },
  { id: 4, name: "peer_pace", statements: PEER_PACE },
]

/** The version of the schema that this program knows; a store with a higher one is newer. */
export const schemaVersion: number = migrations.at(-1)!.id
