/** Bytes of x86-64 machine code, with labels: just what trampoline, keeper and tape need. */
import { assert } from "../../base/assert.ts";

export class Assembler {
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #fixes: { readonly at: number; readonly label: string }[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  emit(...bytes: number[]): this {
    this.#bytes.push(...bytes);
    return this;
  }

  /** A 64-bit little-endian word. */
  word(value: bigint): this {
    for (let shift = 0n; shift < 64n; shift += 8n) this.#bytes.push(Number((value >> shift) & 0xffn));
    return this;
  }

  /** A 32-bit little-endian word. */
  half(value: number): this {
    return this.emit(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, (value >>> 24) & 0xff);
  }

  label(name: string): this {
    assert(!this.#labels.has(name), `label ${name} is set twice`);
    this.#labels.set(name, this.length);
    return this;
  }

  offsetOf(label: string): number {
    const offset = this.#labels.get(label);
    assert(offset !== undefined, `label ${label} is not set`);
    return offset;
  }

  /** An instruction whose last four bytes are the distance from its end to `label`. */
  relative(opcode: readonly number[], label: string): this {
    this.emit(...opcode);
    this.#fixes.push({ at: this.length, label });
    return this.half(0);
  }

  /** `mov eax, number; syscall` */
  syscall(number: number): this {
    return this.emit(0xb8).half(number).emit(0x0f, 0x05);
  }

  align(boundary: number): this {
    while (this.length % boundary !== 0) this.emit(0);
    return this;
  }

  assemble(): Buffer {
    for (const { at, label } of this.#fixes) {
      const distance = this.offsetOf(label) - at - 4;
      for (let i = 0; i < 4; i += 1) this.#bytes[at + i] = (distance >>> (8 * i)) & 0xff;
    }
    return Buffer.from(this.#bytes);
  }
}
