/** Reads what `--json` prints, without trusting its shape: a missing field is a test's failure that says which. */
import assert from "node:assert/strict";

export type Json = Readonly<Record<string, unknown>>;

export function parseObject(text: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    assert.fail(`not JSON (${String(error)}): ${text.slice(0, 500)}`);
  }
  return asObject(value, "the whole");
}

export function asObject(value: unknown, what: string): Json {
  assert.ok(typeof value === "object" && value !== null && !Array.isArray(value), `${what} is an object: ${JSON.stringify(value)}`);
  return value as Json;
}

export function objectAt(object: Json, key: string): Json {
  return asObject(object[key], key);
}

export function listAt(object: Json, key: string): readonly Json[] {
  const value = object[key];
  assert.ok(Array.isArray(value), `${key} is a list: ${JSON.stringify(value)}`);
  return value.map((one: unknown, index) => asObject(one, `${key}[${index}]`));
}

export function numberAt(object: Json, key: string): number {
  const value = object[key];
  assert.ok(typeof value === "number", `${key} is a number: ${JSON.stringify(value)}`);
  return value;
}

export function textAt(object: Json, key: string): string {
  const value = object[key];
  assert.ok(typeof value === "string", `${key} is a text: ${JSON.stringify(value)}`);
  return value;
}

/** Every key is there, and of this type; nothing is said of further ones, because fields are only ever added. */
export function expectShape(
  object: Json,
  shape: Readonly<Record<string, "string" | "number" | "boolean" | "object" | "list" | "any">>,
): void {
  for (const [key, type] of Object.entries(shape)) {
    const value = object[key];
    assert.ok(key in object, `${key} is there: ${Object.keys(object).join(", ")}`);
    const found = Array.isArray(value) ? "list" : typeof value;
    if (type !== "any") assert.equal(found, type, `the type of ${key}`);
  }
}
