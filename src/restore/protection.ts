/** What mmap(2) and mprotect(2) take, out of the four letters of /proc/PID/maps. */
import type { Mapping } from "../image/mod.ts";
import { PROT_EXEC, PROT_READ, PROT_WRITE } from "../kernel/abi/constants.ts";

export function protectionOf(mapping: Mapping): number {
  const [read, write, execute] = mapping.permissions;
  return (read === "r" ? PROT_READ : 0) | (write === "w" ? PROT_WRITE : 0) | (execute === "x" ? PROT_EXEC : 0);
}
