/**
 * What a sync and its server's thread say to each other, as plain data.
 *
 *     sync                       thread
 *       │── start ────────────────▶│
 *       │◀──────────── listening ──│   or failed, and it is over
 *       │── report ───────────────▶│   every now and then
 *       │◀──────────────── metrics ─│   when somebody asks for them
 *       │── metrics ──────────────▶│
 *       │── stop ─────────────────▶│
 *       │◀───────────────── ended ──│
 */
import type { SyncReport } from "../../observe/syncReport.ts"
import type { ServeFailure } from "./ServeError.ts"
import type { Listening } from "./RpcServer.ts"
import type { ServeSettings } from "./serveSettings.ts"

/** To the thread. */
export type ToServer =
  | { readonly kind: "start"; readonly settings: ServeSettings }
  | { readonly kind: "report"; readonly report: SyncReport }
  | { readonly kind: "metrics"; readonly id: number; readonly text: string }
  | { readonly kind: "stop" }

/** From the thread. */
export type FromServer =
  | { readonly kind: "listening"; readonly at: Listening }
  | { readonly kind: "failed"; readonly failure: ServeFailure }
  | { readonly kind: "metrics"; readonly id: number }
  /** Something that whoever runs the program should see; one line. */
  | { readonly kind: "warning"; readonly text: string }
  | { readonly kind: "ended" }
