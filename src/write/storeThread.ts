/** Where the store's thread starts: serves the thread that started it. */
import { parentPort } from "node:worker_threads"
import { serveStore } from "./StoreHost.ts"

if (parentPort === null) throw new Error("storeThread is no program: it is started as a thread")
serveStore(parentPort)
