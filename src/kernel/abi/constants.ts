/**
 * Numbers of the kernel's interface that do not depend on the architecture, under the names that its headers have.
 * Each group names its header; `abi.test.ts` compares all of them with the headers of the machine.
 */
export * from "./files.ts";
export * from "./ipc.ts";
export * from "./memory.ts";
export * from "./processes.ts";
export * from "./tracing.ts";
