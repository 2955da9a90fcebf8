/**
 * What a virtual machine boots: 512 bytes that set the timer to 200 interrupts a second, wait for one, compute, tell a line on
 * the serial port, and so on; after LINES lines they end the emulator by its exit port. No interrupt takes part in what a line says.
 */
import { assert } from "../../src/base/assert.ts";

const LINES = 400;
const SIZE = 512;

/** Machine code for 0x7c00 in real mode, an instruction or two a line. */
const CODE: readonly string[] = [
  "fa", //               cli
  "31 c0", //            xor ax, ax
  "8e d8 8e d0", //      mov ds, ax; mov ss, ax
  "bc 00 7c", //         mov sp, 0x7c00
  "b0 34 e6 43", //      out 0x43, 0x34: timer 0, divide by what follows
  "b0 4e e6 40", //      out 0x40, 0x4e
  "b0 17 e6 40", //      out 0x40, 0x17: 1193182 Hz / 0x174e
  "fb", //               sti
  "66 31 f6", //         xor esi, esi: the number of the line
  "66 bb 01 00 00 00", // mov ebx, 1: what is computed
  // line:
  "f4", //               hlt
  "b9 20 4e", //         mov cx, 20000
  // mix:
  "66 89 d8", //         mov eax, ebx
  "66 c1 e0 0d", //      shl eax, 13
  "66 31 c3", //         xor ebx, eax
  "66 89 d8", //         mov eax, ebx
  "66 c1 e8 11", //      shr eax, 17
  "66 31 c3", //         xor ebx, eax
  "66 89 d8", //         mov eax, ebx
  "66 c1 e0 05", //      shl eax, 5
  "66 31 c3", //         xor ebx, eax
  "e2 e0", //            loop mix
  "66 89 f5", //         mov ebp, esi
  "e8 1e 00", //         call hex
  "b0 20", //            mov al, ' '
  "e8 2f 00", //         call put
  "66 89 dd", //         mov ebp, ebx
  "e8 13 00", //         call hex
  "b0 0a", //            mov al, '\n'
  "e8 24 00", //         call put
  "46", //               inc si
  `81 fe ${(LINES & 0xff).toString(16).padStart(2, "0")} ${(LINES >> 8).toString(16).padStart(2, "0")}`, // cmp si, LINES
  "75 bf", //            jne line
  "b0 02 e6 f4", //      out 0xf4, 2: the emulator exits with 2 * 2 + 1
  // stop:
  "f4", //               hlt
  "eb fd", //            jmp stop
  // hex: ebp in eight digits
  "b9 08 00", //         mov cx, 8
  // digit:
  "66 c1 c5 04", //      rol ebp, 4
  "89 e8", //            mov ax, bp
  "24 0f", //            and al, 15
  "3c 0a", //            cmp al, 10
  "1c 69", //            sbb al, 0x69
  "2f", //               das
  "e8 03 00", //         call put
  "e2 ee", //            loop digit
  "c3", //               ret
  // put: al, when the serial port takes it
  "88 c4", //            mov ah, al
  "ba fd 03", //         mov dx, 0x3fd
  // wait:
  "ec", //               in al, dx
  "a8 20", //            test al, 0x20
  "74 fb", //            jz wait
  "ba f8 03", //         mov dx, 0x3f8
  "88 e0", //            mov al, ah
  "ee", //               out dx, al
  "c3", //               ret
];

export function bootSector(): Buffer {
  const sector = Buffer.alloc(SIZE);
  const code = Buffer.from(CODE.join("").replaceAll(" ", ""), "hex");
  assert(code.length <= SIZE - 2, "the code leaves room for the signature");
  code.copy(sector);
  sector.writeUInt16LE(0xaa55, SIZE - 2);
  return sector;
}
