"""Two ends of a TCP connection that do as they are told by files, and say when they have done it.

    talkers.py listen ADDRESS FOLDER      the peer: prints its port, takes one connection
    talkers.py connect ADDRESS PORT FOLDER  the job

Files in FOLDER, in the order of their numbers: `1-listen-send-5000`: the listener sends the next 5,000 bytes of what it has to send.
    send-N    sends the next N bytes of the pattern
    fill      sends until there is no room
    take-N    receives N bytes
    settle    waits until the other kernel has acknowledged all that was sent
    end       shuts down for writing
    rest      receives to the end of the stream, prints how much came in all, whether it is the pattern, and how much was sent
"""
import fcntl
import hashlib
import os
import socket
import struct
import sys
import termios
import time

PATTERN = hashlib.shake_128(b"cairn").digest(1 << 24)


class Talker:
    def __init__(self, role, one, folder):
        self.role, self.one, self.folder = role, one, folder
        self.sent = 0
        self.got = 0
        self.fits = True

    def receive(self, most):
        piece = self.one.recv(most)
        self.fits = self.fits and piece == PATTERN[self.got : self.got + len(piece)]
        self.got += len(piece)
        return piece

    def fill(self):
        self.one.setblocking(False)
        idle = 0
        while idle < 20:
            try:
                self.sent += self.one.send(PATTERN[self.sent : self.sent + 10007])
                idle = 0
            except BlockingIOError:
                idle += 1
                time.sleep(0.01)
        self.one.setblocking(True)

    def obey(self, order):
        what, _, number = order.partition("-")
        if what == "send":
            self.one.sendall(PATTERN[self.sent : self.sent + int(number)])
            self.sent += int(number)
        elif what == "fill":
            self.fill()
        elif what == "take":
            wanted = self.got + int(number)
            while self.got < wanted and self.receive(wanted - self.got):
                pass
        elif what == "settle":
            while struct.unpack("i", fcntl.ioctl(self.one, termios.TIOCOUTQ, bytes(4)))[0] > 0:
                time.sleep(0.005)
        elif what == "end":
            self.one.shutdown(socket.SHUT_WR)
        elif what == "rest":
            while self.receive(65536):
                pass
            print("sent", self.sent, "received", self.got, "right" if self.fits else "wrong", flush=True)
            return False
        return True

    def run(self):
        done = 0
        while True:
            mine = [name for name in os.listdir(self.folder) if name.startswith(f"{done + 1}-")]
            if not mine:
                time.sleep(0.005)
                continue
            _, role, order = mine[0].split("-", 2)
            done += 1
            if role != self.role:
                continue
            try:
                goes_on = self.obey(order)
            except OSError as error:
                print("order", done, type(error).__name__, flush=True)
                return
            print("order", done, "done", flush=True)
            if not goes_on:
                return


def main():
    role, address = sys.argv[1:3]
    if role == "listen":
        server = socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
        print("port", server.getsockname()[1], flush=True)
        one, _ = server.accept()
        server.close()
    else:
        one = socket.create_connection((address, int(sys.argv[3])))
        print("connected", flush=True)
    Talker(role, one, sys.argv[-1]).run()


main()
