/** Where the reader's thread starts: serves the thread that started it. */
import { parentPort } from "node:worker_threads"
import { serveReader } from "./ReaderHost.ts"

if (parentPort === null) throw new Error("readerThread is no program: it is started as a thread")
serveReader(parentPort)
