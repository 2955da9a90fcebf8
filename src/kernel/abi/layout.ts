/** The shape in which structures of the kernel are written down: see x86-64/structs.ts. */

/** A field's offset and size in bytes; of a union, and of an array, the whole. */
export type FieldLayout = readonly [offset: number, bytes: number];

export interface StructLayout<Field extends string = string> {
  /** The C type, as sizeof takes it. */
  readonly type: string;
  /** Where the C type is declared. */
  readonly header: string;
  readonly bytes: number;
  readonly fields: Readonly<Record<Field, FieldLayout>>;
  /** Offsets by field: `buffer.readBigUInt64LE(CLONE_ARGS.at.flags)`. */
  readonly at: Readonly<Record<Field, number>>;
}

export function layout<Field extends string>(
  type: string,
  header: string,
  bytes: number,
  fields: Readonly<Record<Field, FieldLayout>>,
): StructLayout<Field> {
  const offsets = Object.entries<FieldLayout>(fields).map(([field, [offset]]) => [field, offset]);
  return { type, header, bytes, fields, at: Object.fromEntries(offsets) as Record<Field, number> };
}
