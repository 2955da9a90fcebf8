"""Computes for some seconds: a hash chain, primes, a dictionary that grows; tells each step in a log and on standard output."""
import hashlib
import random
import sys

STEPS = 240
ITERATIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 12000

generator = random.Random(20240229)
words = {}
chain = b"start"


def primes():
    found = []
    candidate = 2
    while True:
        if all(candidate % prime for prime in found if prime * prime <= candidate):
            found.append(candidate)
            yield candidate
        candidate += 1


prime = primes()
with open("log.txt", "w") as log:
    for step in range(STEPS):
        for _ in range(ITERATIONS):
            chain = hashlib.sha256(chain).digest()
        for _ in range(50):
            word = "%x" % generator.getrandbits(24)
            words[word] = words.get(word, 0) + step
        ballast = bytearray(generator.getrandbits(8) for _ in range(1000))
        line = "step %d prime %d words %d ballast %d chain %s\n" % (
            step, next(prime), len(words), sum(ballast), chain.hex()[:16])
        log.write(line)
        log.flush()
        sys.stdout.write(line)
        sys.stdout.flush()

summary = hashlib.sha256(repr(sorted(words.items())).encode()).hexdigest()
print("done", chain.hex(), summary)
sys.exit(7)
