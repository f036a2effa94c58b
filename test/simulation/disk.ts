/**
 * The disk of the simulated world: a folder for the store in the system's memory, statements that
 * fail when they are told to, and kills that leave what a killed process leaves.
 *
 * What SQLite is asked passes through here: the driver's statements are hooked once a process. Invariants:
 * what a kill leaves are copies of the files as they lay at that instant, so that nothing that happens
 * in the dead program's connections afterwards reaches them; outside of a run nothing is hooked.
 */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import Database from "better-sqlite3"
import { DATABASE_FILE } from "../../src/write/storeProtocol.ts"

/** Told of every statement that changes something, before and after it. */
export interface StatementHook {
  /** May throw in place of the statement. */
  readonly before: (sql: string, database: Database.Database) => void
  /** May throw although the statement ran. */
  readonly after: (sql: string, database: Database.Database) => void
}

let hook: StatementHook | undefined
/** The connections that were used since the hook was set. */
const connections = new Set<Database.Database>()
let installed = false

/** Sends every changing statement through `next`; undefined: through nothing. */
export const setHook = (next: StatementHook | undefined): void => {
  install()
  hook = next
}

const install = (): void => {
  if (installed) return
  installed = true
  const database = new Database(":memory:")
  const prototype: Database.Statement = Object.getPrototypeOf(database.prepare("SELECT 1"))
  database.close()
  // oxlint-disable-next-line typescript/unbound-method -- each is called on the statement it is asked of
  const { run, all } = prototype
  prototype.run = function hooked(this: Database.Statement, ...values: Array<unknown>) {
    connections.add(this.database)
    if (hook === undefined) return run.apply(this, values)
    hook.before(this.source, this.database)
    const result = run.apply(this, values)
    hook.after(this.source, this.database)
    return result
  }
  prototype.all = function hooked(this: Database.Statement, ...values: Array<unknown>) {
    connections.add(this.database)
    return all.apply(this, values)
  }
}

/** An error as SQLite's driver throws it. */
export const sqliteError = (code: string): Error =>
  new Database.SqliteError(`simulated: ${code}`, code)

/** Closes what a dead program left open. */
export const closeConnections = (): number => {
  let open = 0
  for (const connection of connections) {
    if (!connection.open) continue
    open += 1
    connection.close()
  }
  connections.clear()
  return open
}

/** Where memory is a folder; elsewhere the system's folder for temporary files. */
const FAST_FOLDER = "/dev/shm"
/** Names the folder to work in, where whoever starts the process takes it away afterwards. */
const FOLDER_VARIABLE = "ANNALS_SIMULATION_FOLDER"

/** A new folder. */
export const makeFolder = (): string => {
  const parent = existsSync(FAST_FOLDER) ? FAST_FOLDER : os.tmpdir()
  return mkdtempSync(path.join(process.env[FOLDER_VARIABLE] ?? parent, "annals-simulation-"))
}

export const removeFolder = (folder: string): void =>
  rmSync(folder, { recursive: true, force: true })

/** Copies a store as it lies on the disk; the file of shared memory is the living's. */
export const copyStore = (from: string, to: string): void => {
  mkdirSync(to, { recursive: true })
  for (const name of [DATABASE_FILE, `${DATABASE_FILE}-wal`]) {
    const file = path.join(from, name)
    if (existsSync(file)) copyFileSync(file, path.join(to, name))
  }
}

/** What a store holds, read by a connection of its own. */
export const readStore = <A>(folder: string, read: (database: Database.Database) => A): A => {
  const database = new Database(path.join(folder, DATABASE_FILE))
  try {
    return read(database)
  } finally {
    connections.delete(database)
    database.close()
  }
}
