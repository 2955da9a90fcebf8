"""Matrix products by the threads of the linear algebra library, element-wise functions by threads of Python's own."""
import hashlib
import sys
import threading
import time

import numpy

STEPS = int(sys.argv[1])

generator = numpy.random.default_rng(20240229)
# Whole numbers: a sum of products is exact, whichever thread adds which part.
left = generator.integers(0, 97, (128, 128)).astype(float)
right = generator.integers(0, 97, (128, 128)).astype(float)
waves = [generator.random(4000) for _ in range(3)]
turn = threading.Barrier(len(waves) + 1)


def work(index):
    for _ in range(STEPS):
        turn.wait()
        waves[index] = numpy.sin(waves[index] * 3) + numpy.sqrt(numpy.abs(waves[index]))
        waves[index].sort()
        turn.wait()


threads = [threading.Thread(target=work, args=(index,)) for index in range(len(waves))]
for thread in threads:
    thread.start()
with open("log", "w") as log:
    for step in range(STEPS):
        turn.wait()
        left = (left @ right) % 97
        spectrum = numpy.abs(numpy.fft.rfft(left[step % 128]))
        turn.wait()
        solution = numpy.linalg.solve(left[:8, :8] + 1000 * numpy.eye(8), spectrum[:8])
        digest = hashlib.sha256(left.tobytes() + solution.tobytes() + b"".join(wave.tobytes() for wave in waves))
        log.write("step %d draw %d %s\n" % (step, generator.integers(1000), digest.hexdigest()[:24]))
        log.flush()
        time.sleep(0.003)
for thread in threads:
    thread.join()
numpy.save("left.npy", left)
sys.exit(10)
