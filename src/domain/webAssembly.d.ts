/**
 * The part of JavaScript's WebAssembly interface that this project uses: neither the ES2023 library
 * of TypeScript nor the types of Node 20 declare it. Source: WebAssembly JavaScript Interface.
 */
declare namespace WebAssembly {
  interface Module {
    readonly [Symbol.toStringTag]: string
  }
  /** Compiles at once, on the calling thread. */
  const Module: new (bytes: Uint8Array) => Module
  class Memory {
    constructor(descriptor: { readonly initial: number; readonly maximum?: number })
    readonly buffer: ArrayBuffer
    /** Adds pages of 64 KiB; every view of the old `buffer` is empty afterwards. */
    grow(pages: number): number
  }
  class Instance {
    constructor(module: Module, imports: Readonly<Record<string, Readonly<Record<string, Memory>>>>)
    readonly exports: Readonly<Record<string, (...args: ReadonlyArray<number>) => void>>
  }
}
