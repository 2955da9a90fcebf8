/**
 * The doctor tries what Cairn needs from the machine. A `Check` says what was found, why it matters and what to do about it; the probes try
 * the real thing where they can, on a short-lived process of their own, because settings alone do not tell what works.
 */
export { mainJobWorks } from "./check.ts";
export type { Check, CheckStatus } from "./check.ts";
export { examine } from "./examine.ts";
