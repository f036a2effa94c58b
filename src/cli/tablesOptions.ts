/**
 * The flags of `annals tables` and what they mean.
 *
 * In: the raw values of {@link tablesFlags}, each fine by itself. Out: {@link TablesOptions}, or one
 * line that says what cannot be used.
 *
 * Invariants of what is returned: there is something to build; `startBlock <= endBlock`; addresses
 * and topics are lower-case hex without 0x, of 20 and 32 bytes; a filter goes with `logs` alone.
 */
import { parseHex, toHex } from "../domain/hex.ts"
import { optionalTables, type OptionalTable } from "../write/tables.ts"
import { accept, refuse, type Checked } from "./checked.ts"
import { maxInteger, type Flags, type RawOptions } from "./flags.ts"
import { storeDirectoryFlag } from "./statusOptions.ts"
import { parseTables } from "./flagTexts.ts"

const blockNumber = { kind: "integer", min: 0, max: maxInteger } as const

/** The flags of `annals tables`. */
export const tablesFlags = {
  tables: {
    kind: "list",
    placeholder: "TABLES",
    description: `What to build: all, or of ${optionalTables.join(", ")}, with commas between them.`,
  },
  contract: {
    kind: "list",
    placeholder: "ADDRESS",
    description: "Only logs of this contract.",
    severalValues: true,
  },
  topic0: {
    kind: "list",
    placeholder: "HASH",
    description: "Only logs with this first topic.",
    severalValues: true,
  },
  "start-block": { ...blockNumber, description: "First block.", default: 0 },
  "end-block": {
    ...blockNumber,
    description: "Last block, inclusive. Default: the last one that is stored.",
  },
  senders: {
    kind: "switch",
    description:
      "Recover the sender of each row of transactions, which takes about a millisecond each.",
  },
  json: { kind: "switch", description: "What was built as JSON on stdout." },
  "data-dir": storeDirectoryFlag,
} satisfies Flags

/** What a user gave `annals tables`. */
export type RawTablesOptions = RawOptions<typeof tablesFlags>

/** What is to be built. Block numbers are inclusive. */
export interface TablesOptions {
  readonly dataDir: string
  readonly tables: ReadonlyArray<OptionalTable>
  readonly addresses: ReadonlyArray<string>
  readonly topic0s: ReadonlyArray<string>
  readonly senders: boolean
  readonly startBlock: number
  /** Infinity: the last one that is stored. */
  readonly endBlock: number
  /** JSON in place of text. */
  readonly json: boolean
}

/** The options that the raw values ask for. */
export const tablesOptions = (raw: RawTablesOptions): Checked<TablesOptions> => {
  const tables = parseTables(raw.tables)
  if (!tables.ok) return tables
  if (tables.value.length === 0 && !raw.senders) {
    return refuse("--tables is needed: which tables to build")
  }
  const addresses = parseHexes("--contract", raw.contract, 20)
  if (!addresses.ok) return addresses
  const topic0s = parseHexes("--topic0", raw.topic0, 32)
  if (!topic0s.ok) return topic0s
  if (addresses.value.length + topic0s.value.length > 0 && !tables.value.includes("logs")) {
    return refuse("--contract and --topic0 choose logs: they go with --tables logs")
  }
  const startBlock = raw["start-block"] ?? tablesFlags["start-block"].default
  const endBlock = raw["end-block"] ?? Infinity
  if (startBlock > endBlock) {
    return refuse(`the range is empty: its start, ${startBlock}, is above its end, ${endBlock}`)
  }
  return accept({
    dataDir: raw["data-dir"] ?? storeDirectoryFlag.default,
    tables: tables.value,
    addresses: addresses.value,
    topic0s: topic0s.value,
    senders: raw.senders,
    startBlock,
    endBlock,
    json: raw.json,
  })
}

/** Hex words of `length` bytes, each once, with commas between them or not. */
const parseHexes = (
  flag: string,
  texts: ReadonlyArray<string>,
  length: number,
): Checked<ReadonlyArray<string>> => {
  const found = new Set<string>()
  for (const word of texts.flatMap((text) => text.split(",")).map((text) => text.trim())) {
    const bytes = parseHex(word)
    if (bytes?.length !== length)
      return refuse(`${flag} takes ${length} bytes in hex, not "${word}"`)
    found.add(toHex(bytes))
  }
  return accept([...found])
}
