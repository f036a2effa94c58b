/**
 * What befalls one run of the program: at a moment of the world's time, or around a statement that
 * changes the database.
 *
 * In: a mishap of the plan, the time, and how to put the store's files aside. Out: a hook for the
 * disk, and whether it has come to pass. Invariant: after a kill nothing of the program runs, and the
 * files that were put aside are as they lay at that instant.
 */
import { type StatementHook, sqliteError } from "./disk.ts"
import type { Mishap } from "./plan.ts"
import type { RunAccounts } from "./Program.ts"
import type { VirtualTime } from "./VirtualTime.ts"

/** Thrown where the process is killed; nobody in it catches that and lives. */
class Killed extends Error {}

/** Lets one mishap happen in one run. */
export class Befalling implements StatementHook {
  /** Whether the process was killed. */
  killed = false
  /** Whether an orderly end was asked for. */
  signalled = false
  /** Whether the disk has failed. */
  struck = false
  readonly #mishap: Mishap | undefined
  readonly #time: VirtualTime
  readonly #copyAside: () => void
  #statements = 0

  constructor(
    mishap: Mishap | undefined,
    time: VirtualTime,
    accounts: RunAccounts,
    copyAside: () => void,
  ) {
    this.#mishap = mishap
    this.#time = time
    this.#copyAside = copyAside
    if (mishap?.kind === "kill") time.after(mishap.afterMs, () => this.#kill())
    if (mishap?.kind === "signal") {
      time.after(mishap.afterMs, () => {
        if (accounts.interrupt === undefined) return
        this.signalled = true
        time.fork(accounts.interrupt)
      })
    }
  }

  readonly before = (
    _sql: string,
    database: { readonly inTransaction: boolean; exec: (sql: string) => unknown },
  ): void => {
    if (this.killed) throw new Killed()
    this.#statements += 1
    const mishap = this.#mishap
    if (mishap === undefined || !("nth" in mishap) || mishap.nth !== this.#statements) return
    if (mishap.kind === "kill-at-write") {
      if (!mishap.written) {
        this.#kill()
        throw new Killed()
      }
    } else if (mishap.how !== "done") {
      this.struck = true
      if (mishap.how === "rolled_back" && database.inTransaction) database.exec("ROLLBACK")
      throw sqliteError(mishap.code)
    }
  }

  readonly after = (): void => {
    const mishap = this.#mishap
    if (mishap === undefined || !("nth" in mishap) || mishap.nth !== this.#statements) return
    if (mishap.kind === "kill-at-write") {
      this.#kill()
      throw new Killed()
    }
    if (mishap.how === "done") {
      this.struck = true
      throw sqliteError(mishap.code)
    }
  }

  #kill(): void {
    this.killed = true
    this.#copyAside()
    this.#time.stop()
  }
}
