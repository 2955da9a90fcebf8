"""A server and its clients over TCP and Unix sockets in one event loop, and worker processes behind queues, pipes and locks."""
import asyncio
import hashlib
import multiprocessing
import sys

ROUNDS = int(sys.argv[1])


def worker(tasks, results, lock, total):
    for number, text in iter(tasks.get, None):
        digest = hashlib.sha256(f"{number} {text}".encode() * 200).hexdigest()
        with lock:
            total.value = (total.value * 31 + number) % 1000003
        results.put((number, digest))


async def answer(reader, writer):
    memory = 0
    while line := await reader.readline():
        number = int(line)
        memory = (memory * 75 + number) % 65537
        writer.write(f"{number} {memory} {'x' * (number % 5000)}\n".encode())
        await writer.drain()
    writer.close()


async def client(reader, writer, first, answers):
    for number in range(first, ROUNDS * 4, 4):
        writer.write(f"{number}\n".encode())
        line = await reader.readline()
        answers.append(line.decode().split(" ")[1])
        if number % 40 == first:
            await asyncio.sleep(0.002)
    writer.close()


async def main():
    context = multiprocessing.get_context("fork")
    tasks, results, lock, total = context.Queue(), context.Queue(), context.Lock(), context.Value("q", 1)
    workers = [context.Process(target=worker, args=(tasks, results, lock, total)) for _ in range(2)]
    for one in workers:
        one.start()
    tcp = await asyncio.start_server(answer, "127.0.0.1", 0)
    unix = await asyncio.start_unix_server(answer, "server.sock")
    port = tcp.sockets[0].getsockname()[1]
    connections = [await asyncio.open_connection("127.0.0.1", port, limit=1 << 20) for _ in range(2)]
    connections += [await asyncio.open_unix_connection("server.sock", limit=1 << 20) for _ in range(2)]
    answers = [[] for _ in connections]
    clients = [asyncio.ensure_future(client(*connection, first, answers[first])) for first, connection in enumerate(connections)]
    log = open("log", "w")
    done = {}
    loop = asyncio.get_running_loop()
    for number in range(ROUNDS):
        tasks.put((number, f"task {number}"))
        if number >= 20:
            key, digest = await loop.run_in_executor(None, results.get)
            done[key] = digest
        log.write(f"{number}\n")
        log.flush()
    await asyncio.gather(*clients)
    while len(done) < ROUNDS:
        key, digest = results.get()
        done[key] = digest
    for _ in workers:
        tasks.put(None)
    for one in workers:
        one.join()
    tcp.close()
    unix.close()
    text = "".join(done[number] for number in range(ROUNDS)) + "".join("".join(one) for one in answers)
    print(hashlib.sha256(text.encode()).hexdigest(), [one.exitcode for one in workers])
    import os
    os.unlink("server.sock")


asyncio.run(main())
