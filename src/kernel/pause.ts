/** Short waits that block this thread: for the frozen time, when nothing else has to run here. */
const cell = new Int32Array(new SharedArrayBuffer(4));

export function pauseMicroseconds(microseconds: number): void {
  Atomics.wait(cell, 0, 0, microseconds / 1000);
}
